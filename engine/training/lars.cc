// SPDX-License-Identifier: Apache-2.0
#include "engine/training/lars.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "core/base/error.h"

namespace eosin::engine {
namespace {

using Tensors = std::vector<at::Tensor>;

// g + d w, each tensor times its trust ratio (and `factor`).
Tensors NormOfSum(const LarsStep& step, const Tensors& params, const Tensors& grads,
                  double factor) {
  Tensors update = at::_foreach_add(grads, params, step.weight_decay);
  const at::Tensor w = at::stack(at::_foreach_norm(params));
  const at::Tensor g = at::stack(at::_foreach_norm(update));
  const at::Tensor trust =
      at::where((w > 0).logical_and(g > 0), w / g * step.eta, at::ones_like(w));
  at::_foreach_mul_(update, (trust * factor).unbind());
  return update;
}

// The same with the sum of the norms in the ratio, and the gradient alone where a norm is 0.
Tensors SumOfNorms(const LarsStep& step, const Tensors& params, const Tensors& grads) {
  const at::Tensor w = at::stack(at::_foreach_norm(params));
  const at::Tensor g = at::stack(at::_foreach_norm(grads));
  at::Tensor trust = w / (g + step.weight_decay * w + 1e-8) * step.eta;
  if (step.dialect == LarsDialect::kSolo) trust = (trust / step.lr).clamp_max(1.0);
  const at::Tensor adapted = (w > 0).logical_and(g > 0);
  const at::Tensor of_grad = at::where(adapted, trust, at::ones_like(trust));
  const at::Tensor of_param = at::where(adapted, trust * step.weight_decay, at::zeros_like(trust));
  Tensors update = at::_foreach_mul(grads, of_grad.unbind());
  at::_foreach_add_(update, at::_foreach_mul(params, of_param.unbind()));
  return update;
}

}  // namespace

LarsDialect ParseLarsDialect(const std::string& word) {
  if (word == "google") return LarsDialect::kGoogle;
  if (word == "byol") return LarsDialect::kByol;
  if (word == "lightly") return LarsDialect::kLightly;
  if (word == "solo") return LarsDialect::kSolo;
  throw core::ConfigError("unknown dialect of lars: " + word, "google, byol, lightly or solo");
}

void LarsUpdate(const LarsStep& step, Tensors& params, const Tensors& grads, Tensors& buffers) {
  const bool google = step.dialect == LarsDialect::kGoogle;
  const bool bolts = step.dialect == LarsDialect::kLightly || step.dialect == LarsDialect::kSolo;
  // lightly: a group without decay is a group without adaptation.
  const bool adapt =
      step.adapt && !(step.dialect == LarsDialect::kLightly && step.weight_decay == 0);
  const double inside = google ? step.lr : 1.0;  // google's buffers hold steps, the others' slopes
  const double outside = google ? 1.0 : step.lr;
  Tensors update;  // own tensors: the gradients stay what backward left
  if (!adapt) {
    update = at::_foreach_mul(grads, inside);
  } else if (bolts) {
    update = SumOfNorms(step, params, grads);
  } else {
    update = NormOfSum(step, params, grads, inside);
  }
  if (step.momentum == 0) {
    at::_foreach_add_(params, update, -outside);
    return;
  }
  at::_foreach_mul_(buffers, step.momentum);
  at::_foreach_add_(buffers, update);
  if (step.nesterov) {
    at::_foreach_add_(update, buffers, step.momentum);
    at::_foreach_add_(params, update, -outside);
  } else {
    at::_foreach_add_(params, buffers, -outside);
  }
}

}  // namespace eosin::engine
