// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/tsne.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "eval/analysis/projections.h"

namespace eosin::eval {
namespace tsne {
namespace {

constexpr int64_t kMostRows = 20'000;  // 1.6 GB of probabilities

}  // namespace

double Calibrate(std::vector<double>* d2, int64_t self, double perplexity) {
  std::vector<double>& d = *d2;
  const double target = std::log(perplexity);
  double nearest = std::numeric_limits<double>::infinity();
  for (size_t j = 0; j < d.size(); ++j) {
    if (static_cast<int64_t>(j) != self) nearest = std::min(nearest, d[j]);
  }
  double mean = 0;
  for (double& value : d) {  // shifted: nothing underflows, the probabilities stay
    value = std::max(value - nearest, 0.0);
    mean += value / static_cast<double>(d.size());
  }
  double beta = mean > 0 ? 1 / mean : 1, low = 0, high = std::numeric_limits<double>::infinity();
  double sum = 1;
  for (int step = 0; step < 100; ++step) {
    sum = 0;
    double first = 0, second = 0;
    for (size_t j = 0; j < d.size(); ++j) {
      if (static_cast<int64_t>(j) == self) continue;
      const double weight = std::exp(-beta * d[j]);
      sum += weight;
      first += weight * d[j];
      second += weight * d[j] * d[j];
    }
    first /= sum;
    second /= sum;
    const double excess = std::log(sum) + beta * first - target;
    if (std::abs(excess) <= 1e-5) break;
    (excess > 0 ? low : high) = beta;
    // Entropy falls by beta * variance.
    const double slope = beta * (second - first * first);
    const double newton = slope > 0 ? beta + excess / slope : low;
    const double middle = std::isinf(high) ? 2 * beta : (low + high) / 2;
    beta = newton > low && newton < high && newton < 16 * beta ? newton : middle;
  }
  for (size_t j = 0; j < d.size(); ++j) {
    d[j] = static_cast<int64_t>(j) == self ? 0 : std::exp(-beta * d[j]) / sum;
  }
  return beta;
}

at::Tensor JointProbabilities(const at::Tensor& features, double perplexity) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  const int64_t n = features.size(0);
  const at::Tensor rows = RowsFor(features, Distance::kEuclidean);
  at::Tensor joint = at::empty({n, n}, at::kFloat);
  float* p = joint.data_ptr<float>();
  constexpr int64_t kBlock = 256;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    core::ThrowIfInterrupted();
    const int64_t count = std::min(kBlock, n - begin);
    const at::Tensor d2 = Distances(rows.narrow(0, begin, count), rows, Distance::kEuclidean)
                              .square_()
                              .to(at::kDouble)
                              .contiguous();
    const double* from = d2.const_data_ptr<double>();
    at::parallel_for(0, count, 8, [&](int64_t first, int64_t last) {
      std::vector<double> row(static_cast<size_t>(n));
      for (int64_t i = first; i < last; ++i) {
        std::copy(from + i * n, from + (i + 1) * n, row.begin());
        Calibrate(&row, begin + i, perplexity);
        std::copy(row.begin(), row.end(), p + (begin + i) * n);
      }
    });
  }
  const float scale = 1 / (2 * static_cast<float>(n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      p[i * n + j] = p[j * n + i] = (p[i * n + j] + p[j * n + i]) * scale;
    }
  }
  return joint;
}

void Gradient(const float* p, const std::vector<float>& x, const std::vector<float>& y,
              float exaggeration, std::vector<float>* gx, std::vector<float>* gy) {
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<Forces> forces(x.size());
  at::parallel_for(0, n, 64, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      forces[static_cast<size_t>(i)] = ForcesOn(p + i * n, x.data(), y.data(), n, i);
    }
  });
  double mass = 0;
  for (const Forces& one : forces) mass += one.mass;
  const float share = static_cast<float>(1 / std::max(mass, 1e-300));
  gx->resize(x.size());
  gy->resize(y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    (*gx)[i] = 4 * (exaggeration * forces[i].pull_x - share * forces[i].push_x);
    (*gy)[i] = 4 * (exaggeration * forces[i].pull_y - share * forces[i].push_y);
  }
}

double Divergence(const float* p, const std::vector<float>& x, const std::vector<float>& y) {
  const size_t n = x.size();
  std::vector<double> mass(n), cross(n);  // a row each, so that threads change nothing
  at::parallel_for(0, static_cast<int64_t>(n), 64, [&](int64_t first, int64_t last) {
    for (size_t i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
      for (size_t j = 0; j < n; ++j) {
        if (i == j) continue;
        const double dx = x[i] - x[j], dy = y[i] - y[j];
        const double square = 1 + dx * dx + dy * dy;
        mass[i] += 1 / square;
        const double joint = p[i * n + j];
        if (joint > 0) cross[i] += joint * (std::log(joint) + std::log(square));
      }
    }
  });
  double total = 0, sum = 0, weight = 0;
  for (size_t i = 0; i < n; ++i) {
    total += mass[i];
    sum += cross[i];
    for (size_t j = 0; j < n; ++j) weight += p[i * n + j];
  }
  return sum + weight * std::log(total);
}

}  // namespace tsne

TsneResult Tsne(const at::Tensor& features, const TsneOptions& options) {
  CheckRows(features);
  const at::NoGradGuard no_grad;
  const int64_t n = features.size(0);
  if (n < 4 || n > tsne::kMostRows) {
    throw core::DataError(fmt::format("t-SNE of {} rows: it serves 4 to {}", n, tsne::kMostRows),
                          "draw fewer rows (5,000 take minutes)");
  }
  const double perplexity =
      std::max(std::min(options.perplexity, static_cast<double>(n - 1) / 3), 1.0);
  const at::Tensor joint = tsne::JointProbabilities(features, perplexity);
  const float* p = joint.const_data_ptr<float>();

  const at::Tensor start = FitPca(features, 2).Project(features).contiguous();
  const int64_t columns = start.size(1);
  const double deviation =
      start.select(1, 0).to(at::kDouble).std(/*unbiased=*/false).item<double>();
  const float scale = deviation > 0 ? static_cast<float>(1e-4 / deviation) : 0;
  std::vector<float> x(static_cast<size_t>(n)), y(x);
  for (size_t i = 0; i < x.size(); ++i) {
    const float* row = start.const_data_ptr<float>() + static_cast<int64_t>(i) * columns;
    x[i] = row[0] * scale;
    y[i] = columns > 1 ? row[1] * scale : 0;
  }

  const double rate = options.learning_rate > 0
                          ? options.learning_rate
                          : std::max(static_cast<double>(n) / options.exaggeration / 4, 50.0);
  std::vector<float> gx, gy;
  const auto descend = [&](int64_t iterations, float momentum, float exaggeration) {
    // Each phase starts at rest, as in scikit-learn.
    std::vector<float> vx(x.size()), vy(x.size()), gain_x(x.size(), 1), gain_y(x.size(), 1);
    const auto move = [&](std::vector<float>* at, const std::vector<float>& gradient,
                          std::vector<float>* speed, std::vector<float>* gain) {
      for (size_t i = 0; i < at->size(); ++i) {
        const bool goes_on = (*speed)[i] * gradient[i] < 0;
        (*gain)[i] = std::max(goes_on ? (*gain)[i] + 0.2f : (*gain)[i] * 0.8f, 0.01f);
        (*speed)[i] = momentum * (*speed)[i] - static_cast<float>(rate) * (*gain)[i] * gradient[i];
        (*at)[i] += (*speed)[i];
      }
    };
    for (int64_t i = 0; i < iterations; ++i) {
      core::ThrowIfInterrupted();
      tsne::Gradient(p, x, y, exaggeration, &gx, &gy);
      move(&x, gx, &vx, &gain_x);
      move(&y, gy, &vy, &gain_y);
    }
  };
  const int64_t first = std::min(options.exaggerated, options.iterations);
  descend(first, 0.5f, static_cast<float>(options.exaggeration));
  descend(options.iterations - first, 0.8f, 1.0f);

  TsneResult result{at::empty({n, 2}, at::kFloat), tsne::Divergence(p, x, y)};
  float* points = result.points.data_ptr<float>();
  for (size_t i = 0; i < x.size(); ++i) {
    points[2 * i] = x[i];
    points[2 * i + 1] = y[i];
  }
  return result;
}

}  // namespace eosin::eval
