// SPDX-License-Identifier: Apache-2.0
// SGD, Adam with L2 and AdamW as torch.optim has them (fused kernels of ATen, one call a group),
// and LARS in the dialects of lars.h. Parameters of a group without decay (biases, normalisation)
// get neither weight decay nor a trust ratio. No host synchronisation.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/config/option_set.h"
#include "core/formats/state_dict.h"

#include <ATen/core/Tensor.h>

namespace eosin::engine {

struct OptimizerOptions {
  std::string name = "sgd";  // sgd | adam | adamw | lars
  double lr = 0.03;          // before scaling by the batch (schedule.h)
  double momentum = 0.9;     // sgd, lars
  bool nesterov = false;     // sgd, lars
  double weight_decay = 1e-4;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // adam, adamw
  std::string lars_dialect = "google";                // google | byol | lightly | solo (lars.h)
  double eta = 1e-3;                                  // lars trust coefficient; solo uses 0.02
  bool exclude_bias_and_norm = true;                  // of 1-d parameters: no decay, no trust ratio

  void Bind(core::OptionSet& set, const std::string& prefix = "optimizer");
  void Check(const std::string& prefix = "optimizer") const;
};

using NamedParameters = std::vector<std::pair<std::string, at::Tensor>>;

struct ParamGroup {
  std::vector<std::string> names;
  std::vector<at::Tensor> params;  // dense fp32 leaves that require gradients
  double lr_scale = 1.0;           // times the rate given to Step
  bool decay = true;
};

// Splits by the exclusion rule into at most two groups; parameters without gradients are left out.
std::vector<ParamGroup> MakeParamGroups(const NamedParameters& parameters,
                                        bool exclude_bias_and_norm, double lr_scale = 1.0);

class Optimizer {
 public:
  Optimizer(OptimizerOptions options, std::vector<ParamGroup> groups);

  // One update at learning rate `lr` (times each group's lr_scale). Parameters whose gradient is
  // undefined stay as they are.
  void Step(double lr);
  // Drops the gradients (set to none).
  void ZeroGrad();

  // L2 norm of all gradients, a 0-d tensor on their device: no host synchronisation.
  at::Tensor GradNorm() const;
  // Scales all gradients so that their norm is at most `norm`, as torch's clip_grad_norm_ does.
  // Gives back the norm before, without host synchronisation.
  at::Tensor ClipGrad(double norm);

  // Buffers by parameter name: "momentum.<name>", "exp_avg.<name>", "exp_avg_sq.<name>",
  // "step.<group>".
  core::StateDict ToState() const;
  // Throws WeightsError when a buffer is missing or has another shape.
  void LoadState(const core::StateDict& state);

  const OptimizerOptions& options() const { return options_; }

 private:
  struct Slots {
    std::vector<at::Tensor> first;   // momentum, or exp_avg
    std::vector<at::Tensor> second;  // exp_avg_sq
  };
  struct Active;
  Active Collect(size_t group) const;
  bool adaptive() const { return options_.name == "adam" || options_.name == "adamw"; }

  OptimizerOptions options_;
  std::vector<ParamGroup> groups_;
  std::vector<Slots> slots_;
  std::vector<at::Tensor> steps_;  // adam, adamw: a counter a group, on the parameters' device
};

}  // namespace eosin::engine
