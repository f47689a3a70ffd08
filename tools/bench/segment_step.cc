// SPDX-License-Identifier: Apache-2.0
// Training steps of DeepLabV3 on made input.
//   bench_segment_step step CASE PRECISION THREADS REPEATS     median seconds of a step: for
//       segment_step.sh, which runs it in turn with the same step in Python torch
//   bench_segment_step freeze CASE PRECISION THREADS ROUNDS    an unfrozen step over one frozen to
//       layer3, and over one whose frozen stages come from kept features; all three in every round
// CASE: os8 or os16 (torchvision's deeplabv3_resnet50, crops of 128 px, batch 4); the step is the
// trainer's own (segment/train/learner.h): prefix, forward, cross-entropy, backward, SGD.
#include <torch/types.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "segment/model/build_model.h"
#include "segment/train/learner.h"
#include "tools/torch_environment.h"

namespace eosin {
namespace {

constexpr int64_t kCrop = 128, kBatch = 4;

segment::SegmentOptions Options(const std::string& name, const std::string& freeze) {
  if (name != "os8" && name != "os16")
    throw core::ConfigError("unknown case " + name, "os8 or os16");
  segment::SegmentOptions options;
  options.output_stride = name == "os8" ? 8 : 16;
  options.rates = {12, 24, 36};
  options.freeze = freeze;
  options.crop = kCrop;
  options.batch = kBatch;
  options.steps = 1000000;
  options.loss = {.ce = 1, .dice = 0};
  options.optimizer.exclude_bias_and_norm = false;
  return options;
}

// A network with its input, at a stage of freezing.
class Arm {
 public:
  Arm(const std::string& name, const std::string& freeze, const engine::Compute& compute, bool keep)
      : compute_(compute),
        learner_(Options(name, freeze), compute, segment::BuildModel(Options(name, freeze)).net,
                 {}) {
    at::manual_seed(0);
    input_ = torch::randn({kBatch, 3, kCrop, kCrop})
                 .to(compute.device)
                 .contiguous(at::MemoryFormat::ChannelsLast);
    target_ = torch::randint(0, 2, {kBatch, kCrop, kCrop}).to(compute.device);
    if (!keep) return;
    for (const at::Tensor& stage : learner_.Features(input_)) {
      kept_.emplace_back();
      for (int64_t i = 0; stage.defined() && i < kBatch; ++i) {
        kept_.back().push_back(stage.narrow(0, i, 1).clone());
      }
    }
  }

  double Seconds() {
    const auto start = std::chrono::steady_clock::now();
    std::vector<at::Tensor> features;
    if (kept_.empty()) {
      features = learner_.Features(input_);
    } else {  // as FeatureCache::At puts a batch together
      for (const auto& crops : kept_) {
        features.push_back(crops.empty() ? at::Tensor() : torch::cat(crops));
      }
    }
    const at::Tensor loss = learner_.Loss(features, target_, step_);
    learner_.Update(loss, step_);
    ++step_;
    if (compute_.device.is_cuda()) loss.item<float>();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  const engine::Compute compute_;
  segment::Learner learner_;
  at::Tensor input_, target_;
  std::vector<std::vector<at::Tensor>> kept_;
  int64_t step_ = 0;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Median of the rounds' ratios with the order statistics that enclose it with 95 % or more.
void Report(const char* what, std::vector<double> ratios) {
  std::sort(ratios.begin(), ratios.end());
  const auto n = static_cast<double>(ratios.size());
  double below = 0, term = std::pow(0.5, n);  // P(at most k of n rounds lie below the median)
  size_t k = 0;
  for (; k < ratios.size() / 2; ++k) {
    below += term;
    if (below > 0.025) break;
    term *= (n - static_cast<double>(k)) / (static_cast<double>(k) + 1);
  }
  const size_t low = k == 0 ? 0 : k - 1;
  std::printf("%-44s %.3f (%.3f to %.3f, %zu rounds)\n", what, Median(ratios), ratios[low],
              ratios[ratios.size() - 1 - low], ratios.size());
}

void Freeze(const std::string& name, const engine::Compute& compute, int rounds) {
  Arm full(name, "none", compute, false), frozen(name, "layer3", compute, false),
      cached(name, "layer3", compute, true);
  std::array<Arm*, 3> arms = {&full, &frozen, &cached};
  for (Arm* arm : arms) arm->Seconds();  // warms up
  std::vector<double> over_frozen, over_cached, seconds;
  for (int round = 0; round < rounds; ++round) {
    std::array<double, 3> time{};
    for (size_t i = 0; i < 3; ++i) {  // who goes first alternates
      const size_t arm = (i + static_cast<size_t>(round)) % 3;
      time[arm] = arms[arm]->Seconds();
    }
    seconds.push_back(time[0]);
    over_frozen.push_back(time[0] / time[1]);
    over_cached.push_back(time[0] / time[2]);
  }
  std::printf("%s: unfrozen step %.3f s\n", name.c_str(), Median(seconds));
  Report("unfrozen / frozen to layer3", over_frozen);
  Report("unfrozen / frozen to layer3, kept features", over_cached);
}

void Step(const std::string& name, const engine::Compute& compute, int repeats) {
  Arm arm(name, "none", compute, false);
  arm.Seconds();  // warms up
  std::vector<double> seconds;
  for (int repeat = 0; repeat < repeats; ++repeat) seconds.push_back(arm.Seconds());
  std::printf("%.6f\n", Median(seconds));
}

}  // namespace
}  // namespace eosin

int main(int argc, char** argv) {
  eosin::tools::RestartInTorchEnvironment(argv);
  const std::string mode = argc == 6 ? argv[1] : "";
  if (mode != "step" && mode != "freeze") {
    std::fprintf(stderr,
                 "usage: bench_segment_step step|freeze os8|os16 fp32|bf16 THREADS REPEATS\n");
    return 2;
  }
  eosin::engine::ComputeOptions options;
  options.precision = argv[3];
  options.threads = std::atoi(argv[4]);
  const int repeats = std::max(1, std::atoi(argv[5]));
  try {
    const auto compute = eosin::engine::ResolveCompute(options);
    (mode == "step" ? eosin::Step : eosin::Freeze)(argv[2], compute, repeats);
  } catch (const eosin::core::Error& error) {
    std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
    return static_cast<int>(error.code());
  }
  return 0;
}
