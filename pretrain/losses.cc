// SPDX-License-Identifier: Apache-2.0
#include "pretrain/losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <limits>

#include "engine/training/device.h"

namespace eosin::pretrain {
namespace {

at::Tensor Normalized(const at::Tensor& rows) {
  return rows / rows.norm(2, {1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace

at::Tensor NtXent(const at::Tensor& z, double temperature) {
  const engine::AutocastGuard fp32(z.device().type(), false);
  const int64_t n = z.size(0) / 2;
  const at::Tensor rows = Normalized(z.to(at::kFloat));
  at::Tensor logits = at::matmul(rows / temperature, rows.t());
  logits.fill_diagonal_(-std::numeric_limits<double>::infinity());  // not its own negative
  const at::Tensor positive = (rows.narrow(0, 0, n) * rows.narrow(0, n, n)).sum(1) / temperature;
  return at::logsumexp(logits, 1).mean() - positive.mean();
}

at::Tensor ByolLoss(const at::Tensor& prediction, const at::Tensor& target) {
  const engine::AutocastGuard fp32(prediction.device().type(), false);
  const at::Tensor p = Normalized(prediction.to(at::kFloat));
  const at::Tensor t = Normalized(target.detach().to(at::kFloat));
  return 2.0 - 2.0 * (p * t).sum(1).mean();
}

at::Tensor PairTop1(const at::Tensor& z) {
  const at::NoGradGuard no_grad;
  const engine::AutocastGuard fp32(z.device().type(), false);
  const int64_t n = z.size(0) / 2;
  const at::Tensor rows = Normalized(z.to(at::kFloat));
  at::Tensor similarity = at::matmul(rows, rows.t());
  similarity.fill_diagonal_(-std::numeric_limits<double>::infinity());
  const at::Tensor own =
      (at::arange(2 * n, at::TensorOptions().dtype(at::kLong).device(z.device())) + n)
          .remainder(2 * n);
  return similarity.argmax(1).eq(own).to(at::kFloat).mean();
}

}  // namespace eosin::pretrain
