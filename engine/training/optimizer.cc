// SPDX-License-Identifier: Apache-2.0
#include "engine/training/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "engine/training/checkpoint.h"
#include "engine/training/lars.h"

namespace eosin::engine {
namespace {

at::Tensor ZerosLike(const at::Tensor& param) {
  return at::empty_strided(param.sizes(), param.strides(), param.options().requires_grad(false))
      .zero_();
}

// The fused kernels walk raw memory: a gradient must lie in memory exactly as its parameter does.
at::Tensor MatchLayout(const at::Tensor& grad, const at::Tensor& param) {
  if (grad.strides() == param.strides()) return grad;
  bool same_memory = true;
  for (int64_t d = 0; d < param.dim(); ++d) {
    same_memory &= param.size(d) == 1 || grad.stride(d) == param.stride(d);
  }
  if (same_memory) return grad.as_strided(param.sizes(), param.strides());
  return ZerosLike(param).copy_(grad);
}

void FromBlob(const core::StateDict& state, const std::string& name, at::Tensor tensor) {
  const core::TensorBlob* blob = state.Find(name);
  if (blob == nullptr || blob->dtype != core::DType::kF32 || blob->shape != tensor.sizes().vec()) {
    throw core::WeightsError(
        fmt::format("the checkpoint's optimizer state {} {}", name,
                    blob == nullptr ? "is missing" : "has another shape"),
        "the run was started with another network, optimizer or program version");
  }
  tensor.copy_(at::from_blob(const_cast<uint8_t*>(blob->data.data()), blob->shape, at::kFloat));
}

}  // namespace

void OptimizerOptions::Bind(core::OptionSet& set, const std::string& prefix) {
  set.Add(prefix + ".name", &name,
          {.doc = "adam has L2, adamw decoupled decay; lars is for large batches",
           .choices = {"sgd", "adam", "adamw", "lars"}});
  set.Add(prefix + ".lr", &lr,
          {.doc = "peak learning rate, before any scaling by the batch", .min = 0});
  set.Add(prefix + ".momentum", &momentum, {.doc = "sgd and lars", .min = 0, .max = 0.9999});
  set.Add(prefix + ".nesterov", &nesterov, {.doc = "sgd and lars"});
  set.Add(prefix + ".weight_decay", &weight_decay,
          {.doc = "L2 (sgd, adam, lars) or decoupled (adamw)", .min = 0});
  set.Add(prefix + ".beta1", &beta1, {.doc = "adam, adamw", .min = 0, .max = 0.9999});
  set.Add(prefix + ".beta2", &beta2, {.doc = "adam, adamw", .min = 0, .max = 0.999999});
  set.Add(prefix + ".epsilon", &epsilon, {.doc = "adam, adamw", .min = 0});
  set.Add(prefix + ".lars_dialect", &lars_dialect,
          {.doc = "whose lars: google's SimCLR, BYOL (Barlow Twins, VICReg), lightly or solo-learn",
           .choices = {"google", "byol", "lightly", "solo"}});
  set.Add(prefix + ".eta", &eta,
          {.doc = "trust coefficient of lars; solo-learn's recipes have 0.02", .min = 0});
  set.Add(prefix + ".exclude_bias_and_norm", &exclude_bias_and_norm,
          {.doc = "biases and normalisation get no weight decay and no trust ratio"});
}

void OptimizerOptions::Check(const std::string& prefix) const {
  if (nesterov && momentum == 0) {
    throw core::ConfigError(
        fmt::format("{0}.nesterov = true with {0}.momentum = 0", prefix),
        fmt::format("set {0}.momentum above 0 or {0}.nesterov = false", prefix));
  }
}

std::vector<ParamGroup> MakeParamGroups(const NamedParameters& parameters,
                                        bool exclude_bias_and_norm, double lr_scale) {
  ParamGroup decay, plain;
  decay.lr_scale = plain.lr_scale = lr_scale;
  plain.decay = false;
  for (const auto& [name, param] : parameters) {
    if (!param.requires_grad()) continue;
    ParamGroup& group = exclude_bias_and_norm && param.dim() <= 1 ? plain : decay;
    group.names.push_back(name);
    group.params.push_back(param);
  }
  std::vector<ParamGroup> groups;
  if (!decay.params.empty()) groups.push_back(std::move(decay));
  if (!plain.params.empty()) groups.push_back(std::move(plain));
  return groups;
}

// The parameters of a group that have a gradient now, with their buffers.
struct Optimizer::Active {
  std::vector<at::Tensor> params, grads, first, second;
};

Optimizer::Optimizer(OptimizerOptions options, std::vector<ParamGroup> groups)
    : options_(std::move(options)), groups_(std::move(groups)) {
  options_.Check();
  const bool adam = adaptive();
  for (const ParamGroup& group : groups_) {
    Slots slots;
    for (const at::Tensor& param : group.params) {
      if (adam || options_.momentum > 0) slots.first.push_back(ZerosLike(param));
      if (adam) slots.second.push_back(ZerosLike(param));
    }
    slots_.push_back(std::move(slots));
    if (adam) {
      steps_.push_back(at::zeros({}, group.params.at(0).options().requires_grad(false)));
    }
  }
}

Optimizer::Active Optimizer::Collect(size_t g) const {
  Active active;
  const Slots& slots = slots_[g];
  for (size_t i = 0; i < groups_[g].params.size(); ++i) {
    const at::Tensor& param = groups_[g].params[i];
    if (!param.grad().defined()) continue;
    active.params.push_back(param);
    active.grads.push_back(MatchLayout(param.grad(), param));
    if (!slots.first.empty()) active.first.push_back(slots.first[i]);
    if (!slots.second.empty()) active.second.push_back(slots.second[i]);
  }
  return active;
}

void Optimizer::Step(double base_lr) {
  const at::NoGradGuard no_grad;
  for (size_t g = 0; g < groups_.size(); ++g) {
    Active active = Collect(g);
    if (active.params.empty()) continue;
    const ParamGroup& group = groups_[g];
    const double lr = base_lr * group.lr_scale;
    const double decay = group.decay ? options_.weight_decay : 0.0;
    if (options_.name == "lars") {
      LarsUpdate({.dialect = ParseLarsDialect(options_.lars_dialect),
                  .lr = lr,
                  .momentum = options_.momentum,
                  .weight_decay = decay,
                  .eta = options_.eta,
                  .nesterov = options_.nesterov,
                  .adapt = group.decay},
                 active.params, active.grads, active.first);
    } else if (adaptive()) {
      steps_[g].add_(1);
      const std::vector<at::Tensor> steps(active.params.size(), steps_[g]);
      if (options_.name == "adam") {
        at::_fused_adam_(active.params, active.grads, active.first, active.second, {}, steps, lr,
                         options_.beta1, options_.beta2, decay, options_.epsilon,
                         /*amsgrad=*/false, /*maximize=*/false);
      } else {
        at::_fused_adamw_(active.params, active.grads, active.first, active.second, {}, steps, lr,
                          options_.beta1, options_.beta2, decay, options_.epsilon,
                          /*amsgrad=*/false, /*maximize=*/false);
      }
    } else {
      // Buffers start at 0, which equals torch's first step without dampening.
      at::_fused_sgd_(active.params, active.grads, active.first, decay, options_.momentum, lr,
                      /*dampening=*/0.0, options_.nesterov, /*maximize=*/false,
                      /*is_first_step=*/false);
    }
  }
}

void Optimizer::ZeroGrad() {
  for (ParamGroup& group : groups_) {
    for (at::Tensor& param : group.params) param.mutable_grad() = at::Tensor();
  }
}

at::Tensor Optimizer::GradNorm() const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> grads;
  for (const ParamGroup& group : groups_) {
    for (const at::Tensor& param : group.params) {
      if (param.grad().defined()) grads.push_back(param.grad());
    }
  }
  if (grads.empty()) return at::zeros({});
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(grads)));
}

at::Tensor Optimizer::ClipGrad(double norm) {
  const at::NoGradGuard no_grad;
  const at::Tensor before = GradNorm();
  const at::Tensor factor = (norm / (before + 1e-6)).clamp_max(1.0);
  for (ParamGroup& group : groups_) {
    for (at::Tensor& param : group.params) {
      if (param.grad().defined()) param.mutable_grad().mul_(factor);
    }
  }
  return before;
}

core::StateDict Optimizer::ToState() const {
  const bool adam = adaptive();
  core::StateDict state;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const Slots& slots = slots_[g];
    for (size_t i = 0; i < groups_[g].names.size(); ++i) {
      const std::string& name = groups_[g].names[i];
      if (!slots.first.empty()) {
        state.Add(FloatBlob((adam ? "exp_avg." : "momentum.") + name, slots.first[i]));
      }
      if (!slots.second.empty()) state.Add(FloatBlob("exp_avg_sq." + name, slots.second[i]));
    }
    if (adam) state.Add(FloatBlob(fmt::format("step.{}", g), steps_[g]));
  }
  return state;
}

void Optimizer::LoadState(const core::StateDict& state) {
  const at::NoGradGuard no_grad;
  const bool adam = adaptive();
  for (size_t g = 0; g < groups_.size(); ++g) {
    Slots& slots = slots_[g];
    for (size_t i = 0; i < groups_[g].names.size(); ++i) {
      const std::string& name = groups_[g].names[i];
      if (!slots.first.empty()) {
        FromBlob(state, (adam ? "exp_avg." : "momentum.") + name, slots.first[i]);
      }
      if (!slots.second.empty()) FromBlob(state, "exp_avg_sq." + name, slots.second[i]);
    }
    if (adam) FromBlob(state, fmt::format("step.{}", g), steps_[g]);
  }
}

}  // namespace eosin::engine
