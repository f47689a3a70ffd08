// SPDX-License-Identifier: Apache-2.0
// One SimCLR training step of eosin on made input, for tools/bench/step.sh, which runs it in turn
// with the same step in Python torch (step.py). Prints the median seconds of a step.
//   bench_step CASE PRECISION THREADS REPEATS     e.g. bench_step resnet18-cifar-32 bf16 2 5
#include <torch/types.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "pretrain/method.h"
#include "tools/torch_environment.h"

namespace eosin {
namespace {

double MedianStep(const std::string& name, const engine::ComputeOptions& compute_options,
                  int repeats) {
  const bool small = name == "resnet18-cifar-32";
  if (!small && name != "resnet50-224") {
    throw core::ConfigError("unknown case " + name, "resnet18-cifar-32 or resnet50-224");
  }
  const engine::Compute compute = engine::ResolveCompute(compute_options);
  pretrain::PretrainOptions options;
  options.method = "simclr";
  options.Set("simclr.batch_norm", "false");
  options.optimizer.exclude_bias_and_norm = false;
  const int64_t batch = small ? 64 : 8, size = small ? 32 : 224;
  engine::ResNetOptions net;
  net.arch = small ? "resnet18" : "resnet50";
  net.stem = small ? "cifar" : "imagenet";
  engine::ResNet encoder(net);
  engine::InitResNet(encoder, 0);
  const auto method = pretrain::MakeMethod(options, encoder);
  method->To(compute.device);
  method->SetTraining(true);
  engine::Optimizer optimizer(
      options.optimizer,
      engine::MakeParamGroups(method->Trainable(), options.optimizer.exclude_bias_and_norm));
  at::manual_seed(0);
  const at::Tensor views = torch::randn({2 * batch, 3, size, size})
                               .to(compute.device)
                               .contiguous(at::MemoryFormat::ChannelsLast);
  std::vector<double> seconds;
  for (int repeat = 0; repeat <= repeats; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    optimizer.ZeroGrad();
    at::Tensor loss;
    {
      const engine::AutocastGuard autocast(compute.device.type(), compute.bf16);
      loss = method->Forward({views}).loss;
    }
    loss.backward();
    optimizer.Step(0.03);
    if (compute.device.is_cuda()) loss.item<float>();
    const double time =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (repeat > 0) seconds.push_back(time);  // the first one warms up
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace
}  // namespace eosin

int main(int argc, char** argv) {
  eosin::tools::RestartInTorchEnvironment(argv);
  if (argc != 5) {
    std::fprintf(stderr,
                 "usage: bench_step resnet18-cifar-32|resnet50-224 fp32|bf16 THREADS REPEATS\n");
    return 2;
  }
  eosin::engine::ComputeOptions compute;
  compute.precision = argv[2];
  compute.threads = std::atoi(argv[3]);
  try {
    std::printf("%.6f\n", eosin::MedianStep(argv[1], compute, std::max(1, std::atoi(argv[4]))));
  } catch (const eosin::core::Error& error) {
    std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
    return static_cast<int>(error.code());
  }
  return 0;
}
