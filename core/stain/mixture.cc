// SPDX-License-Identifier: Apache-2.0
#include "core/stain/mixture.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/error.h"

namespace eosin::core {
namespace {

constexpr size_t kDims = 6;
constexpr double kFloor = 1e-6;  // added to variances of standardised columns
constexpr int kStarts = 10, kShort = 20, kLong = 2000;
constexpr double kTolerance = 1e-9;

using Matrix = std::array<double, kDims * kDims>;
using Rows = std::vector<StainVector>;

struct Scale {
  StainVector mean{}, deviation{};
};

Scale Standardise(const Rows& rows, Rows* out) {
  Scale scale;
  const auto n = static_cast<double>(rows.size());
  for (size_t d = 0; d < kDims; ++d) {
    for (const StainVector& row : rows) scale.mean[d] += row[d];
    scale.mean[d] /= n;
    double square = 0;
    for (const StainVector& row : rows) square += std::pow(row[d] - scale.mean[d], 2);
    scale.deviation[d] = square > 0 ? std::sqrt(square / n) : 1;
  }
  *out = rows;
  for (StainVector& row : *out) {
    for (size_t d = 0; d < kDims; ++d) row[d] = (row[d] - scale.mean[d]) / scale.deviation[d];
  }
  return scale;
}

double SquaredDistance(const StainVector& a, const StainVector& b) {
  double sum = 0;
  for (size_t d = 0; d < kDims; ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
  return sum;
}

// One EM run's state: responsibilities are row-major (rows, components).
class Em {
 public:
  Em(const Rows& rows, size_t components)
      : rows_(rows), k_(components), shares_(rows.size() * components) {}

  // Every row belongs wholly to its nearest of k centres drawn by k-means++.
  void Start(PhiloxStream draw) {
    Rows centres = {rows_[draw.Below(static_cast<uint32_t>(rows_.size()))]};
    std::vector<double> nearest(rows_.size(), std::numeric_limits<double>::infinity());
    while (centres.size() < k_) {
      double total = 0;
      for (size_t i = 0; i < rows_.size(); ++i) {
        nearest[i] = std::min(nearest[i], SquaredDistance(rows_[i], centres.back()));
        total += nearest[i];
      }
      double left = total * double{draw.Uniform()};
      size_t pick = 0;
      while (pick + 1 < rows_.size() && left >= nearest[pick]) left -= nearest[pick++];
      centres.push_back(rows_[pick]);
    }
    std::fill(shares_.begin(), shares_.end(), 0.0);
    for (size_t i = 0; i < rows_.size(); ++i) {
      size_t best = 0;
      for (size_t c = 1; c < k_; ++c) {
        if (SquaredDistance(rows_[i], centres[c]) < SquaredDistance(rows_[i], centres[best])) {
          best = c;
        }
      }
      shares_[i * k_ + best] = 1;
    }
    Maximise();
  }

  // Up to `steps` steps; the mean log-likelihood reached.
  double Run(int steps) {
    double before = Expect();
    for (int step = 0; step < steps; ++step) {
      Maximise();
      const double now = Expect();
      if (std::abs(now - before) < kTolerance) return now;
      before = now;
    }
    return before;
  }

  const StainMixture& mixture() const { return mixture_; }

 private:
  void Maximise() {
    mixture_.weights.assign(k_, 0);
    mixture_.means.assign(k_, {});
    mixture_.covariances.assign(k_, {});
    for (size_t c = 0; c < k_; ++c) {
      double& weight = mixture_.weights[c];
      StainVector& mean = mixture_.means[c];
      Matrix& covariance = mixture_.covariances[c];
      for (size_t i = 0; i < rows_.size(); ++i) {
        weight += Share(i, c);
        for (size_t d = 0; d < kDims; ++d) mean[d] += Share(i, c) * rows_[i][d];
      }
      const double mass = weight + 1e-12;  // an empty component stays where it is drawn to
      for (double& m : mean) m /= mass;
      for (size_t i = 0; i < rows_.size(); ++i) {
        StainVector from;
        for (size_t d = 0; d < kDims; ++d) from[d] = rows_[i][d] - mean[d];
        for (size_t a = 0; a < kDims; ++a) {
          for (size_t b = 0; b <= a; ++b)
            covariance[a * kDims + b] += Share(i, c) * from[a] * from[b];
        }
      }
      for (size_t a = 0; a < kDims; ++a) {
        for (size_t b = 0; b <= a; ++b) {
          covariance[a * kDims + b] /= mass;
          covariance[b * kDims + a] = covariance[a * kDims + b];
        }
        covariance[a * kDims + a] += kFloor;
      }
      weight /= static_cast<double>(rows_.size());
    }
  }

  double Expect() {
    std::vector<Matrix> lowers(k_);
    std::vector<double> constants(k_);
    for (size_t c = 0; c < k_; ++c) {
      // Never fails: the floor keeps covariances positive definite.
      Cholesky6(mixture_.covariances[c], &lowers[c]);
      double log_root = 0;
      for (size_t d = 0; d < kDims; ++d) log_root += std::log(lowers[c][d * kDims + d]);
      constants[c] = std::log(std::max(mixture_.weights[c], 1e-300)) - log_root -
                     kDims / 2.0 * std::log(2 * 3.14159265358979323846);
    }
    double total = 0;
    std::vector<double> logs(k_);
    for (size_t i = 0; i < rows_.size(); ++i) {
      for (size_t c = 0; c < k_; ++c) {
        logs[c] = constants[c] - 0.5 * Mahalanobis(lowers[c], rows_[i], mixture_.means[c]);
      }
      const double most = *std::max_element(logs.begin(), logs.end());
      double sum = 0;
      for (const double log : logs) sum += std::exp(log - most);
      const double log_sum = most + std::log(sum);
      for (size_t c = 0; c < k_; ++c) shares_[i * k_ + c] = std::exp(logs[c] - log_sum);
      total += log_sum;
    }
    return total / static_cast<double>(rows_.size());
  }

  static double Mahalanobis(const Matrix& lower, const StainVector& x, const StainVector& mean) {
    StainVector y;
    double square = 0;
    for (size_t a = 0; a < kDims; ++a) {
      double v = x[a] - mean[a];
      for (size_t b = 0; b < a; ++b) v -= lower[a * kDims + b] * y[b];
      y[a] = v / lower[a * kDims + a];
      square += y[a] * y[a];
    }
    return square;
  }

  double Share(size_t i, size_t c) const { return shares_[i * k_ + c]; }

  const Rows& rows_;
  size_t k_;
  std::vector<double> shares_;
  StainMixture mixture_;
};

// By falling weight, in the units of the rows.
StainMixture Restore(const StainMixture& fitted, const Scale& scale) {
  std::vector<size_t> order(fitted.weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return fitted.weights[a] > fitted.weights[b]; });
  StainMixture out;
  for (const size_t c : order) {
    StainVector mean = fitted.means[c];
    Matrix covariance = fitted.covariances[c];
    for (size_t a = 0; a < kDims; ++a) {
      mean[a] = mean[a] * scale.deviation[a] + scale.mean[a];
      for (size_t b = 0; b < kDims; ++b) {
        covariance[a * kDims + b] *= scale.deviation[a] * scale.deviation[b];
      }
    }
    out.weights.push_back(fitted.weights[c]);
    out.means.push_back(mean);
    out.covariances.push_back(covariance);
  }
  return out;
}

}  // namespace

bool Cholesky6(const std::array<double, 36>& matrix, std::array<double, 36>* lower) {
  lower->fill(0);
  for (size_t a = 0; a < kDims; ++a) {
    for (size_t b = 0; b <= a; ++b) {
      double sum = matrix[a * kDims + b];
      for (size_t c = 0; c < b; ++c) sum -= (*lower)[a * kDims + c] * (*lower)[b * kDims + c];
      if (a == b) {
        if (!(sum > 0)) return false;
        (*lower)[a * kDims + a] = std::sqrt(sum);
      } else {
        (*lower)[a * kDims + b] = sum / (*lower)[b * kDims + b];
      }
    }
  }
  return true;
}

MixtureFit FitMixture(const std::vector<StainVector>& rows, int components, uint64_t seed) {
  if (components < 1) {
    throw ConfigError(fmt::format("a mixture of {} components is none", components),
                      "1 or more components");
  }
  const auto n = static_cast<int64_t>(rows.size());
  if (n < kRowsPerComponent * components) {
    throw DataError(
        fmt::format("{} tiles are too few for a mixture of {} components", n, components),
        fmt::format("give {} tiles or more, or fewer components", kRowsPerComponent * components));
  }
  Rows scaled;
  const Scale scale = Standardise(rows, &scaled);
  std::optional<Em> best;
  double best_log = -std::numeric_limits<double>::infinity();
  for (uint32_t start = 0; start < kStarts; ++start) {
    Em em(scaled, static_cast<size_t>(components));
    em.Start(PhiloxStream(seed, DrawPurpose::kInit, static_cast<uint32_t>(components), start));
    const double log = em.Run(components == 1 ? 1 : kShort);
    if (log > best_log) {
      best_log = log;
      best.emplace(std::move(em));
    }
    if (components == 1) break;
  }
  MixtureFit fit;
  fit.mean_log_likelihood = best->Run(kLong);
  fit.mixture = Restore(best->mixture(), scale);
  const double parameters = components * (kDims + kDims * (kDims + 1) / 2.0) + components - 1;
  fit.bic = parameters * std::log(static_cast<double>(n)) -
            2 * fit.mean_log_likelihood * static_cast<double>(n);
  return fit;
}

MixtureFit ChooseMixture(const std::vector<StainVector>& rows, uint64_t seed) {
  MixtureFit best = FitMixture(rows, 1, seed);
  const auto most = static_cast<int64_t>(rows.size()) / kRowsPerComponent;
  for (int k = 2; k <= std::min<int64_t>(most, kMostComponents); ++k) {
    MixtureFit fit = FitMixture(rows, k, seed);
    if (fit.bic < best.bic) best = std::move(fit);
  }
  return best;
}

}  // namespace eosin::core
