// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/spread.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "eval/analysis/distance.h"

namespace eosin::eval {
namespace {

at::Tensor NotANumber(const at::Tensor& like) {
  return at::full({}, std::numeric_limits<double>::quiet_NaN(), like.options().dtype(at::kDouble));
}

// Sums in fp64 without a fp64 copy of the whole.
at::Tensor ChannelVariance(const at::Tensor& values) {
  const at::Tensor mean = values.mean(0, false, at::kDouble);
  const at::Tensor squares = (values - mean.to(values.scalar_type())).square();
  const at::Tensor drift = (values - mean.to(values.scalar_type())).mean(0, false, at::kDouble);
  const double n = static_cast<double>(values.size(0));
  return (squares.sum(0, false, at::kDouble) - drift.square() * n) / (n - 1);
}

}  // namespace

at::Tensor RankMe(const at::Tensor& features) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  if (features.size(0) == 0) return NotANumber(features);
  const at::Tensor values = features.to(at::kDouble);
  const bool wide = values.size(1) > values.size(0);
  const at::Tensor gram = wide ? at::matmul(values, values.t()) : at::matmul(values.t(), values);
  const at::Tensor singular = at::linalg_eigvalsh(gram).clamp_min(0).sqrt();
  const at::Tensor p = singular / singular.sum().clamp_min(1e-300) + 1e-7;
  return (p * p.log()).sum().neg().exp();
}

at::Tensor Alignment(const at::Tensor& x, const at::Tensor& y) {
  CheckSameRows(x, y);
  const at::NoGradGuard no_grad;
  if (x.size(0) == 0) return NotANumber(x);
  return (UnitRows(x) - UnitRows(y)).square().sum(1).mean(0, false, at::kDouble);
}

at::Tensor Uniformity(const at::Tensor& features, int64_t block) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  const int64_t n = features.size(0);
  if (n < 2) return NotANumber(features);
  const at::Tensor rows = UnitRows(features);
  at::Tensor sum = at::zeros({}, rows.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < n; begin += block) {
    // Every pair once: a block against itself and what follows, less its lower triangle.
    const int64_t count = std::min(block, n - begin);
    const at::Tensor mine = rows.narrow(0, begin, count);
    const at::Tensor rest = rows.narrow(0, begin, n - begin);
    // |f - f'|^2 = 2 - 2 f f', so exp(-2 |f - f'|^2) = exp(4 (f f' - 1)).
    const at::Tensor weights = ((at::matmul(mine, rest.t()) - 1) * 4).exp_().triu_(1);
    sum += weights.sum(at::kDouble);
  }
  const double pairs = 0.5 * static_cast<double>(n) * static_cast<double>(n - 1);
  return (sum / pairs).log();
}

at::Tensor StdRatio(const at::Tensor& features) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  if (features.size(0) < 2) return NotANumber(features);
  const at::Tensor variance = ChannelVariance(UnitRows(features));
  return variance.clamp_min(0).sqrt().mean() * std::sqrt(static_cast<double>(features.size(1)));
}

at::Tensor DeadShare(const at::Tensor& features) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  if (features.size(0) < 2) return NotANumber(features);
  const at::Tensor values = AtLeastFloat(features);
  const at::Tensor size = values.square().mean(at::kDouble).sqrt();
  const at::Tensor deviation = ChannelVariance(values).clamp_min(0).sqrt();
  return deviation.le(size * 1e-3).to(at::kDouble).mean();
}

SpreadFacts MeasureSpread(const at::Tensor& features) {
  const at::Tensor all =
      at::stack({RankMe(features), Uniformity(features), StdRatio(features), DeadShare(features)})
          .cpu();
  const double* values = all.const_data_ptr<double>();
  return {values[0], values[1], values[2], values[3]};
}

}  // namespace eosin::eval
