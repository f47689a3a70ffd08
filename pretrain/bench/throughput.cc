// SPDX-License-Identifier: Apache-2.0
#include "pretrain/bench/throughput.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/threads.h"
#include "core/formats/csv.h"
#include "engine/augment/apply.h"
#include "engine/augment/view_sampler.h"
#include "engine/data/view_feed.h"
#include "pretrain/learner.h"

#ifdef EOSIN_WITH_CUDA
#include <cuda_runtime_api.h>

#include "engine/data/gpu_views.h"
#endif

namespace eosin::pretrain {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kH100Bandwidth = 3.35e12;  // bytes/s, HBM3 of the SXM module

struct Case {
  const char* name;
  const char* preset;
  const char* arch;
  const char* stem;
  int64_t size, image_size;
  double bytes_a_view;  // of a training step; see the header
  int64_t cpu_batch, gpu_batch, gpu_images;
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> kCases = {
      {"rn50-224", "simclr-histology", "resnet50", "imagenet", 224, 256, 355e6, 8, 256, 4096},
      {"r18-32", "simclr-lightly-cifar", "resnet18", "cifar", 32, 32, 19e6, 64, 512, 50000}};
  return kCases;
}

const Case& Find(const std::string& name) {
  for (const Case& c : Cases()) {
    if (name == c.name) return c;
  }
  throw core::ConfigError("unknown case " + name, "rn50-224 or r18-32");
}

// Repeats `work` (which returns how many views it made) until the seconds are over; `finish` waits
// for the device. The first `warm` turns do not count.
double Rate(double seconds, int warm, const std::function<int64_t()>& work,
            const std::function<void()>& finish, const std::function<void()>& begin = {}) {
  for (int i = 0; i < warm; ++i) work();
  finish();
  if (begin) begin();
  const Clock::time_point start = Clock::now();
  int64_t views = 0;
  double elapsed = 0;
  for (int turn = 1; turn == 1 || elapsed < seconds; ++turn) {
    views += work();
    // The device's queue stays filled: it is waited for every eighth turn alone.
    if (turn % 8 == 0 || turn == 1) finish();
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    if (core::InterruptRequested()) {
      throw core::InterruptedError("interrupted while measuring", "start it again");
    }
  }
  finish();
  elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  return static_cast<double>(views) / elapsed;
}

// One value, wherever it lies and whatever the layout: copying it waits for all that came before.
at::Tensor First(at::Tensor values) {
  while (values.dim() > 0) values = values.select(0, 0);
  return values;
}

// Records of one batch, two views an image, cut from images in turn.
struct Records {
  std::vector<engine::ViewParams> records;
  std::vector<int64_t> images;
};

Records DrawRecords(const engine::ImageSource& source, const PretrainOptions& options) {
  Records drawn;
  const std::vector<engine::ViewRecipe> views = {options.view_a, options.view_b};
  for (uint32_t v = 0; v < 2; ++v) {
    const engine::ViewSampler sampler(views[v]);
    for (int64_t n = 0; n < options.batch; ++n) {
      const int64_t index = n % source.size();
      const core::Image image = source.Read(index);
      engine::StainFacts facts(image, nullptr);
      const core::PhiloxStream stream(2, core::DrawPurpose::kView, 0, static_cast<uint32_t>(n), v);
      drawn.records.push_back(sampler.Draw(stream, image.width, image.height, &facts));
      drawn.images.push_back(index);
    }
  }
  return drawn;
}

// One core's executor.
double CpuViews(const engine::ImageSource& source, const PretrainOptions& options, double seconds) {
  const Records drawn = DrawRecords(source, options);
  std::vector<core::Image> images;
  for (int64_t i = 0; i < std::min(options.batch, source.size()); ++i) {
    images.push_back(source.Read(i));
  }
  const int size = static_cast<int>(options.size);
  std::vector<uint8_t> out(static_cast<size_t>(3 * size * size));
  engine::ViewScratch scratch;
  return Rate(
      seconds, 1,
      [&] {
        for (size_t i = 0; i < drawn.records.size(); ++i) {
          engine::ApplyView(images[static_cast<size_t>(drawn.images[i])], drawn.records[i], size,
                            out.data(), scratch);
        }
        return static_cast<int64_t>(drawn.records.size());
      },
      [] {});
}

#ifdef EOSIN_WITH_CUDA
// Kernels alone: pictures and records lie on the GPU.
double GpuViews(const engine::ImageSource& source, const PretrainOptions& options,
                c10::Device device, double seconds) {
  const auto [width, height] = source.uniform_size();
  if (width == 0) return 0;
  const Records drawn = DrawRecords(source, options);
  const int64_t count = std::min(options.batch, source.size());
  const int64_t picture = int64_t{3} * width * height;
  at::Tensor pictures = at::empty({count * picture}, at::kByte);
  for (int64_t i = 0; i < count; ++i) {
    const core::Image image = source.Read(i);
    std::copy(image.pixels.begin(), image.pixels.end(), pictures.data_ptr<uint8_t>() + i * picture);
  }
  auto to_device = [&](const void* data, size_t bytes) {
    at::Tensor host = at::empty({static_cast<int64_t>(bytes)}, at::kByte);
    std::memcpy(host.data_ptr<uint8_t>(), data, bytes);
    return host.to(device);
  };
  pictures = pictures.to(device);
  const at::Tensor records =
      to_device(drawn.records.data(), drawn.records.size() * sizeof(engine::ViewParams));
  const at::Tensor indices = to_device(drawn.images.data(), drawn.images.size() * sizeof(int64_t));
  const std::vector<engine::ViewGroup> groups = {{options.size, 2, nullptr}};
  at::Tensor last;
  return Rate(
      seconds, 3,
      [&] {
        last = engine::MakeGpuViews(
            pictures.data_ptr<uint8_t>(), {width, height}, drawn.records,
            reinterpret_cast<const engine::ViewParams*>(records.data_ptr<uint8_t>()),
            reinterpret_cast<const int64_t*>(indices.data_ptr<uint8_t>()), options.batch, groups,
            device, {})[0];
        return last.size(0);
      },
      [&] { First(last).cpu(); });
}

std::string DeviceName(c10::Device device) {
  cudaDeviceProp properties{};
  engine::CheckCuda(cudaGetDeviceProperties(&properties, device.index()), "asking for the GPU");
  return properties.name;
}

int64_t DeviceBytes() {
  size_t free = 0, total = 0;
  engine::CheckCuda(cudaMemGetInfo(&free, &total), "asking for the GPU's memory");
  return static_cast<int64_t>(free);
}

double CopyBandwidth(c10::Device device) {
  const int64_t bytes = int64_t{1} << 30;
  const auto options = at::TensorOptions().dtype(at::kByte).device(device);
  const at::Tensor from = at::empty({bytes}, options).zero_();
  at::Tensor to = at::empty({bytes}, options);
  const double copies =
      Rate(0.5, 3, [&] { return to.copy_(from), 1; }, [&] { to.narrow(0, 0, 1).cpu(); });
  return 2 * copies * static_cast<double>(bytes);
}
#endif

class CaseRun {
 public:
  CaseRun(const Case& c, const ThroughputOptions& options, const engine::Compute& compute)
      : case_(c), options_(options), compute_(compute), pretrain_(Preset(c.preset)) {
    pretrain_.arch = c.arch;
    pretrain_.stem = c.stem;
    pretrain_.size = pretrain_.view_a.size = pretrain_.view_b.size = c.size;
    pretrain_.compute = options.compute;
    pretrain_.batch = Batch();
    pretrain_.Resolve();
    const int64_t images = compute.device.is_cuda() ? c.gpu_images : 4 * pretrain_.batch;
    source_ = options.data.empty()
                  ? MakeNoiseSource(std::max(images, 2 * pretrain_.batch), c.image_size)
                  : engine::OpenImageSource(options.data);
    if (source_->size() < pretrain_.batch) {
      throw core::ConfigError(fmt::format("batch = {} is larger than the set of {} images",
                                          pretrain_.batch, source_->size()),
                              "lower the batch or give more images");
    }
  }

  ThroughputRow Run() {
    ThroughputRow row;
    row.name = case_.name;
    row.arch = case_.arch;
    row.stem = case_.stem;
    row.size = case_.size;
    row.batch = pretrain_.batch;
    row.image_size = source_->uniform_size().first;
    row.kernels = Kernels();
    engine::FeedOptions feeding;
    feeding.placement = options_.placement;
    feeding.loader.batch = pretrain_.batch;
    feeding.loader.workers =
        options_.workers > 0 ? options_.workers : std::max(1, core::AvailableCores() - 1);
    feed_ = engine::MakeViewFeed(*source_, {pretrain_.view_a, pretrain_.view_b}, feeding, compute_);
    row.feed = feed_->Describe();
    feed_->StartEpoch(0);
    engine::ViewBatch batch;
    row.delivered = Rate(
        options_.seconds, 1, [&] { return batch = NextBatch(), 2 * batch.size(); },
        [&] { Wait(batch.groups[0]); });

    const Learner learner = MakeLearner(pretrain_, compute_);
    at::Tensor loss;
    auto step = [&] {
      learner.optimizer->ZeroGrad();
      loss = AddGradient(*learner.method, batch.groups, compute_, 1.0).loss;
      learner.optimizer->Step(1e-3);
      learner.method->AfterStep(0.5);
      return 2 * batch.size();
    };
    const int warm = compute_.device.is_cuda() ? 10 : 1;  // cuDNN searches at first
    row.step = Rate(options_.seconds, warm, step, [&] { Wait(loss); });
    double waited = 0;
    Clock::time_point begin;
    row.whole = Rate(
        options_.seconds, compute_.device.is_cuda() ? 3 : 1,
        [&] { return batch = NextBatch(), step(); }, [&] { Wait(loss); },
        [&] { waited = feed_->wait_seconds(), begin = Clock::now(); });
    row.data_wait = (feed_->wait_seconds() - waited) /
                    std::chrono::duration<double>(Clock::now() - begin).count();
    return row;
  }

 private:
  int64_t Batch() const {
    if (options_.batch > 0) return options_.batch;
    if (!compute_.device.is_cuda()) return case_.cpu_batch;
#ifdef EOSIN_WITH_CUDA
    // ResNet-50 keeps 60 MB a view in bf16; twice that in fp32.
    const double view = (compute_.bf16 ? 1.0 : 2.0) * (case_.size == 224 ? 60e6 : 6e6);
    int64_t batch = case_.gpu_batch;
    while (batch > 8 &&
           2 * static_cast<double>(batch) * view > 0.7 * static_cast<double>(DeviceBytes())) {
      batch /= 2;
    }
    return batch;
#else
    return case_.gpu_batch;
#endif
  }

  double Kernels() const {
#ifdef EOSIN_WITH_CUDA
    if (compute_.device.is_cuda()) {
      return GpuViews(*source_, pretrain_, compute_.device, std::min(options_.seconds, 3.0));
    }
#endif
    return CpuViews(*source_, pretrain_, std::min(options_.seconds, 3.0));
  }

  engine::ViewBatch NextBatch() {
    while (true) {
      std::optional<engine::ViewBatch> batch = feed_->Next();
      if (batch) return std::move(*batch);
      feed_->StartEpoch(++epoch_);
    }
  }

  void Wait(const at::Tensor& last) const {
    if (compute_.device.is_cuda()) First(last).cpu();
  }

  const Case& case_;
  const ThroughputOptions& options_;
  const engine::Compute& compute_;
  PretrainOptions pretrain_;
  std::unique_ptr<engine::ImageSource> source_;
  std::unique_ptr<engine::ViewFeed> feed_;
  int64_t epoch_ = 0;
};

}  // namespace

const std::vector<std::string>& ThroughputCases() {
  static const std::vector<std::string> kNames = {"rn50-224", "r18-32"};
  return kNames;
}

void ThroughputOptions::Check() const {
  for (const std::string& name : cases) Find(name);
  if (batch < 0 || batch == 1 || workers < 0 || !(seconds >= 0)) {
    throw core::ConfigError(
        fmt::format("batch = {}, workers = {}, seconds = {} cannot be measured with", batch,
                    workers, seconds),
        "batch from 2, workers and seconds from 0");
  }
}

ThroughputReport MeasureThroughput(const ThroughputOptions& options,
                                   const std::function<void(const ThroughputRow&)>& done) {
  options.Check();
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  ThroughputReport report;
  report.device = "CPU";
  report.precision = compute.Describe();
#ifdef EOSIN_WITH_CUDA
  if (compute.device.is_cuda()) {
    report.device = DeviceName(compute.device);
    report.copy_bandwidth = CopyBandwidth(compute.device);
    const bool h100 = report.device.find("H100") != std::string::npos &&
                      report.device.find("PCIe") == std::string::npos;
    report.limit_bandwidth = h100 ? kH100Bandwidth : report.copy_bandwidth;
  }
#endif
  for (const std::string& name : options.cases.empty() ? ThroughputCases() : options.cases) {
    const Case& c = Find(name);
    ThroughputRow row = CaseRun(c, options, compute).Run();
    row.limit = report.limit_bandwidth / c.bytes_a_view;
    if (done) done(row);
    report.rows.push_back(std::move(row));
  }
  return report;
}

std::string ThroughputReport::Table() const {
  std::string text = fmt::format("{}; {}\n", device, precision);
  if (copy_bandwidth > 0) {
    text += fmt::format("memory: a copy moves {:.2f} TB/s; limits are for {:.2f} TB/s{}\n",
                        1e-12 * copy_bandwidth, 1e-12 * limit_bandwidth,
                        limit_bandwidth == kH100Bandwidth ? ", the H100 SXM's figure" : "");
  }
  text += fmt::format("{:<10}{:>6} {:>12} {:>12} {:>12} {:>12} {:>9} {:>10}\n", "case", "batch",
                      copy_bandwidth > 0 ? "kernels" : "views, core", "feed", "step", "training",
                      "data wait", "of limit");
  for (const ThroughputRow& row : rows) {
    text += fmt::format("{:<10}{:>6} {:>12.0f} {:>12.0f} {:>12.1f} {:>12.1f} {:>8.1f}% {:>10}\n",
                        row.name, row.batch, row.kernels, row.delivered, row.step, row.whole,
                        100 * row.data_wait,
                        row.limit > 0 ? fmt::format("{:.1f}%", 100 * row.ShareOfLimit()) : "-");
    text += fmt::format("  {}\n", row.feed);
  }
  return text + "views/s; an image gives two views\n";
}

std::string ThroughputReport::Csv() const {
  std::string text = core::CsvRow({"case", "device", "precision", "arch", "stem", "size", "batch",
                                   "image_size", "feed", "kernels", "delivered", "step", "whole",
                                   "data_wait", "limit", "share_of_limit", "copy_bandwidth"});
  for (const ThroughputRow& row : rows) {
    text += core::CsvRow({row.name, device, precision, row.arch, row.stem, std::to_string(row.size),
                          std::to_string(row.batch), std::to_string(row.image_size), row.feed,
                          fmt::format("{:.1f}", row.kernels), fmt::format("{:.1f}", row.delivered),
                          fmt::format("{:.2f}", row.step), fmt::format("{:.2f}", row.whole),
                          fmt::format("{:.4f}", row.data_wait), fmt::format("{:.1f}", row.limit),
                          fmt::format("{:.4f}", row.ShareOfLimit()),
                          fmt::format("{:.4g}", copy_bandwidth)});
  }
  return text;
}

}  // namespace eosin::pretrain
