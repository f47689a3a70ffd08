// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/projections.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"

namespace eosin::eval {

double Trustworthiness(const at::Tensor& features, const at::Tensor& points, int64_t k,
                       Distance distance) {
  CheckRows(features);
  CheckRows(points);
  const at::NoGradGuard no_grad;
  const int64_t n = features.size(0);
  if (points.size(0) != n || k < 1 || 2 * k >= n) {
    throw core::DataError(
        fmt::format("trustworthiness of {} points for {} rows with k = {}", points.size(0), n, k),
        "give one point a row, and k below half the rows");
  }
  const at::Tensor rows = RowsFor(features, distance);
  const at::Tensor near = NearestNeighbours(points, k, Distance::kEuclidean).index;
  double penalty = 0;
  constexpr int64_t kBlock = 256;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t count = std::min(kBlock, n - begin);
    const at::Tensor all = Distances(rows.narrow(0, begin, count), rows, distance);
    const at::Tensor own = near.narrow(0, begin, count);
    const at::Tensor apart = all.gather(1, own);
    all.narrow(1, begin, count).fill_diagonal_(-1);  // the row itself is no neighbour
    for (int64_t j = 0; j < k; ++j) {
      const at::Tensor nearer = all.lt(apart.narrow(1, j, 1)).sum(1);  // itself among them: rank
      penalty += (nearer - k).clamp_min(0).sum().item<double>();
    }
  }
  const double size = static_cast<double>(n), kk = static_cast<double>(k);
  return 1 - penalty * 2 / (size * kk * (2 * size - 3 * kk - 1));
}

Projection Project(const std::string& method, const at::Tensor& features, const at::Tensor& labels,
                   const ProjectionOptions& options) {
  if (method != "pca" && method != "tsne" && method != "umap") {
    throw core::ConfigError(fmt::format("no projection is called '{}'", method),
                            "use pca, tsne or umap");
  }
  CheckLabels(features, labels);
  CheckFinite(features);
  const at::NoGradGuard no_grad;
  Projection projection;
  projection.method = method;
  projection.rows = StratifiedRows(labels, options.rows, options.seed);
  at::Tensor rows = features;
  if (static_cast<int64_t>(projection.rows.size()) < features.size(0)) {
    rows = features.index_select(0, at::tensor(projection.rows, at::kLong));
  }
  rows = options.unit ? UnitRows(rows) : AtLeastFloat(rows);
  at::Tensor seen = rows;
  if (method != "pca" && options.pca > 0 && options.pca < std::min(rows.size(0), rows.size(1))) {
    seen = FitPca(rows, options.pca).Project(rows);
  }
  if (method == "pca") {
    projection.points = FitPca(rows, 2).Project(rows);
  } else if (method == "tsne") {
    projection.points = Tsne(seen, options.tsne).points;
  } else {
    UmapOptions umap = options.umap;
    umap.seed = options.seed;
    projection.points = Umap(seen, umap);
  }
  const int64_t k = std::min<int64_t>(5, (rows.size(0) - 1) / 2);
  projection.trustworthiness = Trustworthiness(rows, projection.points, k);
  return projection;
}

}  // namespace eosin::eval
