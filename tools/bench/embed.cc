// SPDX-License-Identifier: Apache-2.0
// Embedding images from disk against the bare forward pass on tensors that are there already, same
// network, batch and threads: wall time of both in turns, median of the ratios of the rounds with
// its range. Target: embedding reaches 0.9 of the bare rate.
//   bench_embed DATA [IMAGES] [ROUNDS] [ARCH] [WIDTH] [BATCH] [THREADS]
// Images: of their own size up to 224 px; the CIFAR stem up to 64 px.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/base/threads.h"
#include "engine/models/init.h"
#include "eval/embed.h"
#include "tools/torch_environment.h"

namespace {

using namespace eosin;

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int Run(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: bench_embed DATA [IMAGES] [ROUNDS] [ARCH] [WIDTH] [BATCH] [THREADS]\n",
               stderr);
    return 2;
  }
  auto number = [&](int i, int64_t other) -> int64_t {
    return argc > i ? std::atoll(argv[i]) : other;
  };
  const auto source = engine::OpenImageSource(argv[1]);
  const int64_t count = std::min(number(2, 1024), source->size());
  const int64_t rounds = std::max<int64_t>(1, number(3, 9));
  const auto [width, height] = source->uniform_size();
  const int64_t own = std::min(width, height);
  const int64_t size = own > 0 && own <= 224 ? own : 224;
  engine::ResNetOptions options;
  options.arch = argc > 4 ? argv[4] : "resnet18";
  options.stem = size <= 64 ? "cifar" : "imagenet";
  options.width = static_cast<int>(number(5, 64));
  const int64_t batch = std::min(number(6, 64), count);
  engine::ComputeOptions computing;
  computing.threads = number(7, 0);
  const engine::Compute compute = engine::ResolveCompute(computing);

  engine::ResNet net(options);
  engine::InitResNet(net, 0);
  net->to(compute.device);
  engine::ToChannelsLast(*net);
  net->eval();
  std::vector<int64_t> indices(static_cast<size_t>(count / batch * batch));
  std::iota(indices.begin(), indices.end(), 0);
  const eval::EmbedOptions embedding{
      .size = size, .batch = batch, .workers = std::max(1, core::AvailableCores() - 1)};
  const at::Tensor input = at::randn({batch, 3, size, size})
                               .to(compute.device)
                               .contiguous(at::MemoryFormat::ChannelsLast);
  auto bare = [&] {
    const at::NoGradGuard no_grad;
    at::Tensor last;
    for (size_t done = 0; done < indices.size(); done += static_cast<size_t>(batch)) {
      const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
      last = net->forward(input);
    }
    last.cpu();  // waits for a GPU
  };
  auto embed = [&] { eval::Embed(net, *source, indices, embedding, compute); };
  const auto images = static_cast<double>(indices.size());
  fmt::print("{} {}, {} px, batch {}, {} images, {}\n", options.arch, options.width, size, batch,
             indices.size(), compute.Describe());
  std::vector<double> ratios;
  for (int64_t round = -1; round < rounds; ++round) {  // round -1 warms up
    const double plain = Seconds(bare), whole = Seconds(embed);
    if (round < 0) continue;
    ratios.push_back(plain / whole);
    fmt::print("round {}: bare {:.1f} images/s, embedding {:.1f} images/s, ratio {:.3f}\n", round,
               images / plain, images / whole, ratios.back());
  }
  std::sort(ratios.begin(), ratios.end());
  fmt::print("ratio {:.3f} [{:.3f}, {:.3f}] median and range of {} rounds\n",
             ratios[ratios.size() / 2], ratios.front(), ratios.back(), ratios.size());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  eosin::tools::RestartInTorchEnvironment(argv);
  try {
    return Run(argc, argv);
  } catch (const eosin::core::Error& error) {
    std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
    return static_cast<int>(error.code());
  }
}
