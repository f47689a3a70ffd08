// SPDX-License-Identifier: Apache-2.0
// A self-supervised method: networks around one encoder, a loss over views of each image, and what
// happens after the optimiser's step. The trainer knows methods only through this. A method is one
// file in methods/ that registers itself (registry.h); nothing else names it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/models/resnet.h"
#include "engine/training/optimizer.h"
#include "pretrain/registry.h"

#include <ATen/core/Tensor.h>

namespace eosin::pretrain {

struct StepOutput {
  at::Tensor loss;       // 0-d fp32, to call backward on
  at::Tensor embedding;  // (2N, D) of the projector for the global views, view-major, detached
};

// What a method is made from.
struct MethodSetup {
  engine::ResNet encoder{nullptr};  // initialised
  uint64_t seed = 0;                // of the heads
  int64_t batch = 256;              // images a forward pass
  bool concat_views = true;         // one forward pass for all views of a group
};

class Method {
 public:
  explicit Method(engine::ResNet encoder) : encoder_(std::move(encoder)) {}
  virtual ~Method() = default;
  Method(const Method&) = delete;
  Method& operator=(const Method&) = delete;

  // groups: tensors (views * N, 3, S, S), view-major, normalised (engine::ViewBatch). groups[0]
  // holds the two global views; the others, if any, local crops. Call under the autocast guard of
  // the run; backward outside of it.
  virtual StepOutput Forward(const std::vector<at::Tensor>& groups) = 0;
  // After each optimiser step; progress = steps done before it / all steps, in [0, 1): the first
  // update of a moving average has exactly its base momentum.
  virtual void AfterStep(double progress) = 0;
  // The value that a blind guess gives, for reports: ln(2N - 1) for SimCLR.
  virtual double ChanceLoss(int64_t batch) const = 0;
  // For methods whose loss (without local crops) is scale * NtXent(embedding, temperature), so that
  // the monitor can check that no negatives are lost; temperature 0: of another kind.
  struct Contrast {
    double temperature = 0, scale = 1;
  };
  virtual Contrast contrast() const { return {}; }

  engine::ResNet encoder() const { return encoder_; }
  // Networks by name, "encoder" among them: what a checkpoint holds.
  const std::map<std::string, std::shared_ptr<torch::nn::Module>>& parts() const { return parts_; }
  // Parameters that the optimiser updates, named "<part>.<parameter>".
  engine::NamedParameters Trainable() const;
  // The same in groups, with the parts' learning rate factors and the exclusion rule.
  virtual std::vector<engine::ParamGroup> ParamGroups(
      const engine::OptimizerOptions& optimizer) const;

  void To(c10::Device device);
  void SetTraining(bool on);

 protected:
  engine::ResNet encoder_;
  std::map<std::string, std::shared_ptr<torch::nn::Module>> parts_;
  std::vector<std::string> frozen_parts_;    // e.g. BYOL's targets
  std::map<std::string, double> lr_scales_;  // by part; 1 where it names none
};

// The inputs of the forward passes of one group: all views at once, or (concat_views off) one view
// of n images each, so that BatchNorm sees each view alone. Rows stay view-major.
std::vector<at::Tensor> SplitViews(const at::Tensor& views, int64_t n, bool concat_views);

// Builds the method of options.method with heads initialised from options.seed(). The encoder
// comes initialised. ConfigError when there is no such method or its options make none.
std::unique_ptr<Method> MakeMethod(const PretrainOptions& options, engine::ResNet encoder);

}  // namespace eosin::pretrain
