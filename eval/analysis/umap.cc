// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/umap.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <tuple>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/philox.h"
#include "eval/analysis/projections.h"

namespace eosin::eval {
namespace umap {

Curve FitCurve(double min_dist, double spread) {
  constexpr int kPoints = 300;
  std::array<double, kPoints> x, y;
  for (int i = 0; i < kPoints; ++i) {
    const size_t at = static_cast<size_t>(i);
    x[at] = 3 * spread * i / (kPoints - 1);
    y[at] = x[at] < min_dist ? 1 : std::exp(-(x[at] - min_dist) / spread);
  }
  // Levenberg-Marquardt on (a, b) from (1, 1).
  const auto cost = [&](double a, double b) {
    double sum = 0;
    for (size_t i = 0; i < kPoints; ++i) {
      const double error = 1 / (1 + a * std::pow(x[i], 2 * b)) - y[i];
      sum += error * error;
    }
    return sum;
  };
  Curve fit{1, 1};
  double damping = 1e-3, now = cost(fit.a, fit.b);
  for (int step = 0; step < 200; ++step) {
    double aa = 0, ab = 0, bb = 0, ra = 0, rb = 0;
    for (size_t i = 1; i < kPoints; ++i) {  // x = 0 pulls at nothing
      const double power = std::pow(x[i], 2 * fit.b);
      const double value = 1 / (1 + fit.a * power);
      const double da = -value * value * power;
      const double db = -value * value * fit.a * power * 2 * std::log(x[i]);
      aa += da * da;
      ab += da * db;
      bb += db * db;
      ra += da * (value - y[i]);
      rb += db * (value - y[i]);
    }
    const double p = aa * (1 + damping), q = bb * (1 + damping), det = p * q - ab * ab;
    const double step_a = -(q * ra - ab * rb) / det, step_b = -(p * rb - ab * ra) / det;
    const double next = cost(fit.a + step_a, fit.b + step_b);
    if (!(next < now)) {
      damping *= 10;
      if (damping > 1e12) break;
      continue;
    }
    fit = {fit.a + step_a, fit.b + step_b};
    damping = std::max(damping / 10, 1e-12);
    const bool done = now - next < 1e-16 * now;
    now = next;
    if (done) break;
  }
  return fit;
}

Smooth SmoothKnn(std::span<const double> distances, double mean) {
  Smooth smooth;
  double own_mean = 0;
  for (const double distance : distances) {
    if (distance > 0 && smooth.rho == 0) smooth.rho = distance;
    own_mean += distance / static_cast<double>(distances.size() + 1);
  }
  const double target = std::log2(static_cast<double>(distances.size() + 1));
  double low = 0, high = std::numeric_limits<double>::infinity(), middle = 1;
  for (int step = 0; step < 64; ++step) {
    double sum = 0;
    for (const double distance : distances) {
      const double apart = distance - smooth.rho;
      sum += apart > 0 ? std::exp(-apart / middle) : 1;
    }
    if (std::abs(sum - target) < 1e-5) break;
    (sum > target ? high : low) = middle;
    middle = std::isinf(high) ? 2 * middle : (low + high) / 2;
  }
  smooth.sigma = std::max(middle, 1e-3 * (smooth.rho > 0 ? own_mean : mean));
  return smooth;
}

Graph FuzzyUnion(const at::Tensor& index, const at::Tensor& distance) {
  const int64_t n = index.size(0), k = index.size(1);
  const at::Tensor indices = index.contiguous(), distances = distance.to(at::kDouble).contiguous();
  const int64_t* to = indices.const_data_ptr<int64_t>();
  const double* far = distances.const_data_ptr<double>();
  double mean = 0;
  for (int64_t i = 0; i < n * k; ++i) mean += far[i] / static_cast<double>(n * (k + 1));
  struct Edge {
    int32_t from, to;
    double weight;
  };
  std::vector<Edge> edges;  // each both ways: with its weight, and as the other's partner
  edges.reserve(static_cast<size_t>(2 * n * k));
  for (int64_t i = 0; i < n; ++i) {
    const std::span<const double> own(far + i * k, static_cast<size_t>(k));
    const Smooth smooth = SmoothKnn(own, mean);
    for (int64_t j = 0; j < k; ++j) {
      const double apart = own[static_cast<size_t>(j)] - smooth.rho;
      const double weight = apart <= 0 ? 1 : std::exp(-apart / smooth.sigma);
      const auto a = static_cast<int32_t>(i), b = static_cast<int32_t>(to[i * k + j]);
      edges.push_back({a, b, weight});
      edges.push_back({b, a, weight});
    }
  }
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
    return std::tie(a.from, a.to, a.weight) < std::tie(b.from, b.to, b.weight);
  });
  Graph graph;
  for (size_t i = 0; i < edges.size();) {
    double p = edges[i].weight;
    size_t next = i + 1;
    // At most two of a kind: one from either end.
    for (;
         next < edges.size() && edges[next].from == edges[i].from && edges[next].to == edges[i].to;
         ++next) {
      p = p + edges[next].weight - p * edges[next].weight;
    }
    graph.from.push_back(edges[i].from);
    graph.to.push_back(edges[i].to);
    graph.weight.push_back(static_cast<float>(p));
    i = next;
  }
  return graph;
}

namespace {

float Clip(float value) { return std::clamp(value, -4.0f, 4.0f); }

// umap-learn's optimize_layout_euclidean, one thread: an edge of weight w is pulled every max / w
// epochs, and each pull comes with `negatives` pushes from random points.
void OptimizeLayout(const Graph& graph, const Curve& curve, const UmapOptions& options,
                    int64_t epochs, std::vector<std::array<float, 2>>* points) {
  const float a = static_cast<float>(curve.a), b = static_cast<float>(curve.b);
  const float heaviest = *std::max_element(graph.weight.begin(), graph.weight.end());
  struct Pull {
    int32_t from, to;
    double every, next, next_push;
  };
  std::vector<Pull> pulls;
  for (size_t e = 0; e < graph.weight.size(); ++e) {
    if (graph.weight[e] < heaviest / static_cast<float>(epochs)) continue;  // never its turn
    const double every = static_cast<double>(heaviest) / graph.weight[e];
    pulls.push_back(
        {graph.from[e], graph.to[e], every, every, every / static_cast<double>(options.negatives)});
  }
  auto& at = *points;
  const auto count = static_cast<uint32_t>(at.size());
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    core::ThrowIfInterrupted();
    const float rate = static_cast<float>(
        options.learning_rate * (1 - static_cast<double>(epoch) / static_cast<double>(epochs)));
    core::PhiloxStream draws(options.seed, core::DrawPurpose::kAnalysis,
                             static_cast<uint32_t>(epoch), 0, 2);
    for (Pull& pull : pulls) {
      if (pull.next > static_cast<double>(epoch)) continue;
      auto& own = at[static_cast<size_t>(pull.from)];
      auto& other = at[static_cast<size_t>(pull.to)];
      float dx = own[0] - other[0], dy = own[1] - other[1];
      float square = dx * dx + dy * dy;
      if (square > 0) {
        const float power = std::pow(square, b);
        const float force = -2 * a * b * power / square / (a * power + 1);
        const float gx = Clip(force * dx) * rate, gy = Clip(force * dy) * rate;
        own[0] += gx;
        own[1] += gy;
        other[0] -= gx;
        other[1] -= gy;
      }
      pull.next += pull.every;
      const double every_push = pull.every / static_cast<double>(options.negatives);
      const auto pushes =
          static_cast<int64_t>((static_cast<double>(epoch) - pull.next_push) / every_push);
      for (int64_t i = 0; i < pushes; ++i) {
        const uint32_t from = draws.Below(count);
        if (from == static_cast<uint32_t>(pull.from)) continue;
        dx = own[0] - at[from][0];
        dy = own[1] - at[from][1];
        square = dx * dx + dy * dy;
        if (square <= 0) continue;
        const float force = 2 * b / ((0.001f + square) * (a * std::pow(square, b) + 1));
        own[0] += Clip(force * dx) * rate;
        own[1] += Clip(force * dy) * rate;
      }
      pull.next_push += static_cast<double>(pushes) * every_push;
    }
  }
}

}  // namespace
}  // namespace umap

at::Tensor Umap(const at::Tensor& features, const UmapOptions& options) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  const int64_t n = features.size(0);
  if (n < 4) {
    throw core::DataError(fmt::format("UMAP of {} rows: it needs at least 4", n),
                          "embed more images");
  }
  if (options.neighbours < 2 || options.negatives < 1 || !(options.min_dist >= 0) ||
      !(options.spread > 0)) {
    throw core::ConfigError(
        fmt::format("UMAP with {} neighbours, {} negatives, min_dist {}, spread {}",
                    options.neighbours, options.negatives, options.min_dist, options.spread),
        "use at least 2 neighbours, 1 negative, a min_dist of 0 or more and a positive spread");
  }
  const Neighbours near = NearestNeighbours(features, options.neighbours - 1, options.distance);
  const umap::Graph graph = umap::FuzzyUnion(near.index, near.distance);
  const umap::Curve curve = umap::FitCurve(options.min_dist, options.spread);
  const int64_t epochs = options.epochs > 0 ? options.epochs : n <= 10'000 ? 500 : 200;

  // PCA scaled to 10 at most, a little noise against equal points, then each axis to 0..10.
  const at::Tensor rows = RowsFor(features, options.distance);
  const at::Tensor start = FitPca(rows, 2).Project(rows).contiguous();
  const int64_t columns = start.size(1);
  const float largest = std::max(start.abs().max().item<float>(), 1e-30f);
  core::PhiloxStream noise(options.seed, core::DrawPurpose::kAnalysis, 0, 0, 1);
  std::vector<std::array<float, 2>> points(static_cast<size_t>(n));
  std::array<float, 2> low{1e30f, 1e30f}, high{-1e30f, -1e30f};
  for (size_t i = 0; i < points.size(); ++i) {
    for (size_t c = 0; c < 2; ++c) {
      const bool has = static_cast<int64_t>(c) < columns;
      const float from = has ? start.const_data_ptr<float>()[static_cast<int64_t>(i) * columns +
                                                             static_cast<int64_t>(c)]
                             : 0;
      points[i][c] = 10 * from / largest + 1e-4f * noise.Normal();
      low[c] = std::min(low[c], points[i][c]);
      high[c] = std::max(high[c], points[i][c]);
    }
  }
  for (auto& point : points) {
    for (size_t c = 0; c < 2; ++c) point[c] = 10 * (point[c] - low[c]) / (high[c] - low[c]);
  }
  umap::OptimizeLayout(graph, curve, options, epochs, &points);
  at::Tensor result = at::empty({n, 2}, at::kFloat);
  for (size_t i = 0; i < points.size(); ++i) {
    std::copy(points[i].begin(), points[i].end(), result.data_ptr<float>() + 2 * i);
  }
  return result;
}

}  // namespace eosin::eval
