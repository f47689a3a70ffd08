// SPDX-License-Identifier: Apache-2.0
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <algorithm>

#include "core/base/error.h"
#include "eval/analysis/projections.h"

namespace eosin::eval {
namespace {

constexpr int64_t kRows = 4096;  // bounds the fp64 copies

at::Tensor Centred(const at::Tensor& features, int64_t begin, int64_t count,
                   const at::Tensor& mean) {
  return features.narrow(0, begin, count).to(at::kDouble) - mean;
}

}  // namespace

Pca FitPca(const at::Tensor& features, int64_t k) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  const int64_t n = features.size(0), d = features.size(1);
  if (n < 2 || k < 1) {
    throw core::DataError("a PCA needs at least two rows and one component", "embed more images");
  }
  k = std::min({k, n, d});
  Pca pca;
  pca.mean = features.mean(0, false, at::kDouble);
  at::Tensor values, vectors;  // ascending
  if (d <= n) {
    at::Tensor covariance = at::zeros({d, d}, at::kDouble);
    for (int64_t begin = 0; begin < n; begin += kRows) {
      const at::Tensor part = Centred(features, begin, std::min(kRows, n - begin), pca.mean);
      covariance.addmm_(part.t(), part);
    }
    std::tie(values, vectors) = at::linalg_eigh(covariance);
    vectors = vectors.t();
  } else {
    const at::Tensor rows = Centred(features, 0, n, pca.mean);
    at::Tensor left;
    std::tie(values, left) = at::linalg_eigh(at::matmul(rows, rows.t()));
    vectors = at::matmul(left.t(), rows);
    const at::Tensor length = vectors.norm(2, {1}, /*keepdim=*/true);
    // Of the null space only rounding would be left.
    const at::Tensor real = length.gt(length.max() * 1e-7);
    vectors = (vectors / length.clamp_min(1e-300)).where(real, at::zeros({1, 1}, at::kDouble));
  }
  const at::Tensor total = values.clamp_min(0).sum().clamp_min(1e-300);
  values = values.clamp_min(0).narrow(0, values.size(0) - k, k).flip(0);
  vectors = vectors.narrow(0, vectors.size(0) - k, k).flip(0);
  const at::Tensor largest = vectors.gather(1, vectors.abs().argmax(1, /*keepdim=*/true));
  pca.components = (vectors * (largest.ge(0).to(at::kDouble) * 2 - 1)).contiguous();
  pca.variance = values / static_cast<double>(n - 1);
  pca.share = values / total;
  return pca;
}

at::Tensor Pca::Project(const at::Tensor& features) const {
  CheckRows(features);
  if (features.size(1) != mean.size(0)) {
    throw core::DataError("features differ in width from those the PCA was fitted to",
                          "use the features of one encoder");
  }
  const at::NoGradGuard no_grad;
  at::Tensor points = at::zeros({features.size(0), components.size(0)}, at::kFloat);
  for (int64_t begin = 0; begin < features.size(0); begin += kRows) {
    const int64_t count = std::min(kRows, features.size(0) - begin);
    points.narrow(0, begin, count)
        .copy_(at::matmul(Centred(features, begin, count, mean), components.t()));
  }
  return points;
}

}  // namespace eosin::eval
