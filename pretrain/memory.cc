// SPDX-License-Identifier: Apache-2.0
#include "pretrain/memory.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <algorithm>
#include <fstream>
#include <limits>
#include <map>

#include "core/base/log.h"
#include "engine/data/view_feed.h"
#include "pretrain/learner.h"

#ifdef EOSIN_WITH_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>
#endif

namespace eosin::pretrain {
namespace {

constexpr int64_t kRingBatches = 3;  // of the loader

// Free main memory, and what the process' cgroup still allows.
int64_t FreeMainMemory() {
  int64_t free = 0;
  std::ifstream info("/proc/meminfo");
  for (std::string key, rest; info >> key && std::getline(info, rest);) {
    if (key == "MemAvailable:") free = std::strtoll(rest.c_str(), nullptr, 10) * 1024;
  }
  int64_t most = 0, used = 0, cached = 0;
  std::ifstream limit("/sys/fs/cgroup/memory.max"), now("/sys/fs/cgroup/memory.current"),
      stat("/sys/fs/cgroup/memory.stat");
  // Files that were read count as used until somebody wants their place.
  int64_t value = 0;
  for (std::string key; stat >> key >> value;) {
    if (key == "inactive_file" || key == "active_file") cached += value;
  }
  if (limit >> most && now >> used)
    free = std::min(free, std::max<int64_t>(1, most - used + cached));
  return free;
}

int64_t FreeMemory(const engine::Compute& compute) {
#ifdef EOSIN_WITH_CUDA
  if (compute.device.is_cuda()) {
    size_t free = 0, all = 0;
    return cudaMemGetInfo(&free, &all) == cudaSuccess ? static_cast<int64_t>(free) : 0;
  }
#endif
  return compute.device.is_cpu() ? FreeMainMemory() : 0;
}

// Elements that one view leaves behind in each stage: of every convolution its output (BatchNorm's
// input) and, but for the shortcut's, the ReLU's output (the next convolution's input).
std::map<std::string, int64_t> ElementsPerView(const engine::ResNet& encoder, int64_t size,
                                               int64_t* largest) {
  const engine::ResNetOptions& net = encoder->options();
  const bool cifar = net.stem == "cifar";
  auto half = [](int64_t side) { return (side + 1) / 2; };
  const int64_t stem_side = cifar ? size : half(size);
  std::map<std::string, int64_t> elements;
  elements["stem"] = 3 * size * size + 2 * net.width * stem_side * stem_side;
  int64_t side = cifar ? size : half(stem_side);
  // The pooled maps, and where each maximum came from (int64).
  if (!cifar) elements["stem"] += net.width * side * side * 5;
  *largest = net.width * stem_side * stem_side;
  std::map<std::string, int64_t> sides;
  const int64_t strides[] = {1, 2, net.output_stride >= 16 ? 2 : 1,
                             net.output_stride >= 32 ? 2 : 1};
  std::map<std::string, int64_t> first_sides;  // of the first block's input
  for (int stage = 1; stage <= 4; ++stage) {
    const std::string name = fmt::format("layer{}", stage);
    first_sides[name] = side;
    if (strides[stage - 1] == 2) side = half(side);
    sides[name] = side;
  }
  for (const auto& item : encoder->named_parameters()) {
    const std::string& name = item.key();  // layer2.0.conv1.weight, layer2.0.downsample.0.weight
    if (item.value().dim() != 4 || name.rfind("layer", 0) != 0) continue;
    const std::string stage = name.substr(0, name.find('.'));
    const bool shortcut = name.find("downsample") != std::string::npos;
    // A bottleneck's first 1x1 convolution comes before the stride.
    const bool before =
        item.value().size(2) == 1 && !shortcut && name.find(".0.conv1.") != std::string::npos;
    const int64_t at = before ? first_sides[stage] : sides[stage];
    const int64_t output = item.value().size(0) * at * at;
    elements[stage] += shortcut ? output : 2 * output;
    *largest = std::max(*largest, output);
  }
  return elements;
}

double Gigabytes(int64_t bytes) { return 1e-9 * static_cast<double>(bytes); }

std::string Readable(int64_t bytes) {
  return bytes < 1'000'000'000 ? fmt::format("{:.0f} MB", 1e-6 * static_cast<double>(bytes))
                               : fmt::format("{:.1f} GB", Gigabytes(bytes));
}

core::MachineError DoesNotFit(int64_t batch, const std::string& needs, int64_t largest,
                              const std::string& hint) {
  return core::MachineError(
      largest > 0 ? fmt::format("batch {} does not fit: {}; the largest that fits is {}", batch,
                                needs, largest)
                  : fmt::format("batch {} does not fit: {}; no batch does", batch, needs),
      hint);
}

const char* const kHint =
    "lower train.batch, and raise train.accumulate to keep the images of a step; or choose smaller "
    "views (data.size) or a smaller model.arch";

}  // namespace

int64_t MemoryEstimate::PerBatch() const {
  int64_t bytes = work + (on_gpu ? 0 : loader);
  for (const auto& [stage, kept] : activations) bytes += kept;
  return bytes;
}

int64_t MemoryEstimate::Total() const { return weights + gradients + optimizer + PerBatch(); }

std::string MemoryEstimate::Describe() const {
  std::string stages;
  int64_t kept = 0;
  for (const auto& [stage, bytes] : activations) {
    stages += fmt::format("{}{} {}", stages.empty() ? "" : ", ", stage, Readable(bytes));
    kept += bytes;
  }
  std::string text = fmt::format(
      "memory of a step: about {} (weights {}, gradients {}, optimiser {}, activations {}: {}; "
      "work space {}), loader {}",
      Readable(Total()), Readable(weights), Readable(gradients), Readable(optimizer),
      Readable(kept), stages, Readable(work), Readable(loader));
  if (available > 0) {
    text += fmt::format("; {} free {}", Readable(available), on_gpu ? "on the GPU" : "here");
  }
  return text;
}

MemoryEstimate EstimateMemory(const PretrainOptions& options, const Method& method,
                              const engine::Compute& compute) {
  MemoryEstimate memory;
  memory.on_gpu = compute.device.is_cuda();
  for (const auto& [part, module] : method.parts()) {
    for (const at::Tensor& tensor : module->parameters()) memory.weights += tensor.nbytes();
    for (const at::Tensor& tensor : module->buffers()) memory.weights += tensor.nbytes();
  }
  for (const auto& [name, tensor] : method.Trainable()) memory.gradients += tensor.nbytes();
  const bool adam = options.optimizer.name.rfind("adam", 0) == 0;
  memory.optimizer = memory.gradients * (adam ? 2 : options.optimizer.momentum > 0 ? 1 : 0);

  const int64_t bytes = compute.bf16 ? 2 : 4;
  std::map<std::string, int64_t> kept;
  for (const engine::ViewRecipe& view : options.Views()) {
    int64_t largest = 0;
    for (const auto& [stage, elements] : ElementsPerView(method.encoder(), view.size, &largest)) {
      kept[stage] += elements * bytes * options.batch;
    }
    memory.work += 2 * largest * bytes * options.batch;
    memory.loader += kRingBatches * options.batch * view.size * view.size * 3;
  }
  memory.activations.assign(kept.begin(), kept.end());
  // "stem" first.
  std::stable_sort(
      memory.activations.begin(), memory.activations.end(),
      [](const auto& a, const auto& b) { return a.first == "stem" && b.first != "stem"; });
  memory.available = FreeMemory(compute);
  return memory;
}

void RequireMemory(const MemoryEstimate& estimate, int64_t batch) {
  if (estimate.on_gpu || estimate.available <= 0 || estimate.Total() <= estimate.available) return;
  const int64_t fixed = estimate.Total() - estimate.PerBatch();
  const double per_image = static_cast<double>(estimate.PerBatch()) / static_cast<double>(batch);
  const auto largest = static_cast<int64_t>(
      std::max(0.0, static_cast<double>(estimate.available - fixed) / per_image));
  throw DoesNotFit(batch,
                   fmt::format("a step needs about {} of memory and {} are free",
                               Readable(estimate.Total()), Readable(estimate.available)),
                   largest < 2 ? 0 : largest, kHint);
}

int64_t LargestBatch(int64_t least, int64_t failed, const std::function<bool(int64_t)>& fits) {
  int64_t low = 0, high = failed;  // low fits (0: nothing tried), high does not
  for (int64_t batch = failed / 2; batch >= least && low == 0; batch /= 2) {
    if (fits(batch)) {
      low = batch;
    } else {
      high = batch;
    }
  }
  if (low == 0) return high > least && fits(least) ? least : 0;
  // To within 1/32: the last percents change with what else uses the device.
  while (high - low > std::max<int64_t>(1, low / 32)) {
    const int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

core::MachineError TooLarge(const PretrainOptions& options, const engine::ImageSource& source) {
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  core::LogInfo("the device is out of memory: trying smaller batches");
  auto release = [] {
#ifdef EOSIN_WITH_CUDA
    c10::cuda::CUDACachingAllocator::emptyCache();
#endif
  };
  release();  // the run's own memory is free again: the images go where they went
  engine::FeedOptions feeding;
  feeding.placement = options.placement;
  feeding.resident_share = options.resident_share;
  const int64_t resident = engine::ResidentBytes(source, options.Views(), feeding, compute);
  auto fits = [&](int64_t batch) {
    release();
    try {
      const Learner learner = MakeLearner(options, compute);
      const at::Tensor images =
          at::empty({resident}, at::TensorOptions().dtype(at::kByte).device(compute.device));
      std::map<int64_t, int64_t> views_by_size;
      std::vector<at::Tensor> groups;
      for (const engine::ViewRecipe& view : options.Views()) ++views_by_size[-view.size];
      for (const auto& [size, count] : views_by_size) {
        groups.push_back(
            at::zeros({count * batch, 3, -size, -size}, at::TensorOptions().device(compute.device))
                .contiguous(at::MemoryFormat::ChannelsLast));
      }
      AddGradient(*learner.method, groups, compute, 1.0);
      learner.optimizer->Step(0.0);
      return true;
    } catch (const c10::OutOfMemoryError&) {
      return false;
    }
  };
  const int64_t largest = LargestBatch(2, options.batch, fits);
  release();
  if (resident == 0) return DoesNotFit(options.batch, "the GPU ran out of memory", largest, kHint);
  return DoesNotFit(
      options.batch,
      fmt::format("the GPU ran out of memory, of which the images take {}", Readable(resident)),
      largest,
      std::string("set compute.placement = streamed to keep the images off it; or ") + kHint);
}

}  // namespace eosin::pretrain
