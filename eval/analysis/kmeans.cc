// SPDX-License-Identifier: Apache-2.0
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/philox.h"
#include "eval/analysis/clusters.h"

namespace eosin::eval {
namespace {

// Squared Euclidean distances (n, m).
at::Tensor SquaredDistances(const at::Tensor& a, const at::Tensor& b) {
  return at::addmm(b.square().sum(1).unsqueeze(0), a, b.t(), 1, -2)
      .add_(a.square().sum(1, true))
      .clamp_min_(0);
}

// A row with probability proportional to its weight.
int64_t Draw(const at::Tensor& weights, core::PhiloxStream* stream) {
  const at::Tensor values = weights.to(at::kDouble).contiguous();
  const double* weight = values.const_data_ptr<double>();
  double total = 0;
  for (int64_t i = 0; i < values.numel(); ++i) total += weight[i];
  const double high = static_cast<double>(stream->Next()),
               low = static_cast<double>(stream->Next());
  double left = (high + low * 0x1p-32) * 0x1p-32 * total;
  int64_t last = 0;
  for (int64_t i = 0; i < values.numel(); ++i) {
    if (weight[i] <= 0) continue;
    last = i;
    left -= weight[i];
    if (left < 0) break;
  }
  return last;
}

at::Tensor StartCentres(const at::Tensor& rows, int64_t k, core::PhiloxStream stream) {
  const int64_t n = rows.size(0);
  at::Tensor centres = at::empty({k, rows.size(1)}, rows.options());
  centres[0].copy_(rows[static_cast<int64_t>(stream.Below(static_cast<uint32_t>(n)))]);
  at::Tensor nearest = SquaredDistances(rows, centres.narrow(0, 0, 1)).squeeze(1);
  const int trials = 2 + static_cast<int>(std::log(static_cast<double>(k)));
  for (int64_t c = 1; c < k; ++c) {
    double best = std::numeric_limits<double>::infinity();
    at::Tensor best_nearest;
    for (int t = 0; t < trials; ++t) {
      const int64_t row = Draw(nearest, &stream);
      const at::Tensor with =
          nearest.minimum(SquaredDistances(rows, rows.narrow(0, row, 1)).squeeze(1));
      const double potential = with.sum(at::kDouble).item<double>();
      if (potential >= best) continue;
      best = potential;
      best_nearest = with;
      centres[c].copy_(rows[row]);
    }
    nearest = best_nearest;
  }
  return centres;
}

struct Assigned {
  at::Tensor distance, label;  // squared, to the own centre
};

Assigned Assign(const at::Tensor& rows, const at::Tensor& centres) {
  const auto [distance, label] = SquaredDistances(rows, centres).min(1);
  return {distance, label};
}

// Means of the clusters; empty ones take the farthest samples.
at::Tensor MoveCentres(const at::Tensor& rows, int64_t k, Assigned* assigned) {
  std::vector<int64_t> count(static_cast<size_t>(k));
  int64_t* label = assigned->label.data_ptr<int64_t>();
  for (int64_t i = 0; i < rows.size(0); ++i) ++count[static_cast<size_t>(label[i])];
  for (int64_t c = 0; c < k; ++c) {
    if (count[static_cast<size_t>(c)] > 0) continue;
    const at::Tensor distance = assigned->distance.to(at::kDouble).contiguous();
    int64_t far = -1;
    for (int64_t i = 0; i < rows.size(0); ++i) {
      if (count[static_cast<size_t>(label[i])] < 2) continue;
      const double* apart = distance.const_data_ptr<double>();
      if (far < 0 || apart[i] > apart[far]) far = i;
    }
    --count[static_cast<size_t>(label[far])];
    ++count[static_cast<size_t>(c)];
    label[far] = c;
    assigned->distance[far].zero_();
  }
  at::Tensor sums = at::zeros({k, rows.size(1)}, at::kDouble);
  constexpr int64_t kRows = 4096;
  for (int64_t begin = 0; begin < rows.size(0); begin += kRows) {
    const int64_t part = std::min(kRows, rows.size(0) - begin);
    sums.index_add_(0, assigned->label.narrow(0, begin, part),
                    rows.narrow(0, begin, part).to(at::kDouble));
  }
  at::Tensor sizes = at::empty({k, 1}, at::kDouble);
  for (int64_t c = 0; c < k; ++c) {
    sizes.data_ptr<double>()[c] = static_cast<double>(count[static_cast<size_t>(c)]);
  }
  return (sums / sizes).to(rows.scalar_type());
}

}  // namespace

KMeansResult KMeans(const at::Tensor& features, const KMeansOptions& options) {
  CheckRows(features);
  CheckFinite(features);
  const at::NoGradGuard no_grad;
  const int64_t n = features.size(0);
  if (n == 0 || options.clusters < 1) {
    throw core::DataError("k-means needs samples and at least one cluster",
                          "embed some images first");
  }
  const int64_t k = std::min(options.clusters, n);
  const at::Tensor values = AtLeastFloat(features);
  const at::Tensor mean = values.mean(0, true);
  const at::Tensor rows = (values - mean).contiguous();
  const double variance = rows.square().mean(at::kDouble).item<double>();
  KMeansResult best;
  best.inertia = std::numeric_limits<double>::infinity();
  for (int64_t start = 0; start < std::max<int64_t>(options.starts, 1); ++start) {
    at::Tensor centres = StartCentres(rows, k,
                                      core::PhiloxStream(options.seed, core::DrawPurpose::kAnalysis,
                                                         1, static_cast<uint32_t>(start)));
    Assigned assigned = Assign(rows, centres);
    for (int64_t i = 0; i < options.iterations; ++i) {
      core::ThrowIfInterrupted();
      const at::Tensor moved = MoveCentres(rows, k, &assigned);
      const double movement = (moved - centres).square().sum(at::kDouble).item<double>();
      centres = moved;
      assigned = Assign(rows, centres);
      if (movement <= options.tolerance * variance) break;
    }
    const double inertia = assigned.distance.sum(at::kDouble).item<double>();
    if (inertia < best.inertia) best = {assigned.label, centres + mean, inertia};
  }
  return best;
}

}  // namespace eosin::eval
