// SPDX-License-Identifier: Apache-2.0
// The pieces of UMAP, for its tests. Internal to eval/analysis.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace eosin::eval::umap {

struct Curve {
  double a = 0, b = 0;  // 1 / (1 + a d^(2b))
};
// Least squares fit of the curve to 1 below min_dist and exp(-(d - min_dist) / spread) above, at
// 300 points up to 3 spreads (umap-learn's find_ab_params): 1.577, 0.895 for .1 and 1.
Curve FitCurve(double min_dist, double spread);

struct Smooth {
  double rho = 0;    // distance to the nearest neighbour that is not in the same place
  double sigma = 0;  // such that sum exp(-max(0, d - rho) / sigma) = log2(k + 1)
};
// distances: to the k neighbours of one row, nearest first, without the row itself, which
// umap-learn counts as one more at distance 0. mean: of all rows' distances, counted so; sigma is
// at least 1e-3 of the row's mean distance, or of `mean` where all its neighbours are in its place.
Smooth SmoothKnn(std::span<const double> distances, double mean);

// Edges of the fuzzy union p + q - p q, each direction once, sorted by (from, to).
struct Graph {
  std::vector<int32_t> from, to;
  std::vector<float> weight;
};
// index, distance: (N, k) of NearestNeighbours, without the row itself.
Graph FuzzyUnion(const at::Tensor& index, const at::Tensor& distance);

}  // namespace eosin::eval::umap
