// SPDX-License-Identifier: Apache-2.0
#include "core/stats/resample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/stats/crossed.h"
#include "core/stats/summary.h"

namespace eosin::core {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

void CheckShape(const SeedPatientTable& values, std::span<const double> weights) {
  for (const auto& row : values) {
    if (row.size() != values.front().size() || (!weights.empty() && weights.size() != row.size())) {
      throw DataError("a bootstrap table has rows of different lengths",
                      "every seed needs one value (or n/a) a patient, and each patient one weight");
    }
  }
}

double WeightOf(std::span<const double> weights, size_t patient) {
  return weights.empty() ? 1.0 : weights[patient];
}

}  // namespace

Interval CrossedBootstrap(const SeedPatientTable& values, std::span<const double> weights,
                          const BootstrapOptions& options) {
  CheckShape(values, weights);
  const size_t seeds = values.size();
  const size_t patients = seeds > 0 ? values.front().size() : 0;
  Interval result{kNan, kNan, kNan};
  double total = 0, weight_total = 0;
  int seen = 0;  // patients with a value
  for (size_t p = 0; p < patients; ++p) {
    const double before = weight_total;
    for (const auto& row : values) {
      if (std::isnan(row[p])) continue;
      total += WeightOf(weights, p) * row[p];
      weight_total += WeightOf(weights, p);
    }
    seen += weight_total > before;
  }
  if (weight_total <= 0) return result;
  result.estimate = total / weight_total;
  if (seen < 2) return result;

  // Row by row: sum of weight * value and of weight under the draw's patients, then the seeds.
  std::vector<double> weight(seeds * patients), weighted(seeds * patients);
  for (size_t s = 0; s < seeds; ++s) {
    for (size_t p = 0; p < patients; ++p) {
      if (std::isnan(values[s][p])) continue;
      weight[s * patients + p] = WeightOf(weights, p);
      weighted[s * patients + p] = WeightOf(weights, p) * values[s][p];
    }
  }
  std::vector<double> means;
  means.reserve(static_cast<size_t>(options.draws));
  CrossedDraw times;
  for (int draw = 0; draw < options.draws; ++draw) {
    DrawCrossed(options, draw, seeds, patients, &times);
    double sum = 0, sum_weight = 0;
    for (size_t s = 0; s < seeds; ++s) {
      if (times.seeds[s] == 0) continue;
      const double* w = weight.data() + s * patients;
      const double* wv = weighted.data() + s * patients;
      double row = 0, row_weight = 0;
      for (size_t p = 0; p < patients; ++p) {
        row += times.patients[p] * wv[p];
        row_weight += times.patients[p] * w[p];
      }
      sum += times.seeds[s] * row;
      sum_weight += times.seeds[s] * row_weight;
    }
    if (sum_weight > 0) means.push_back(sum / sum_weight);
  }
  const double tail = (1.0 - options.level) / 2;
  result.low = Quantile(means, tail);
  result.high = Quantile(means, 1.0 - tail);
  return result;
}

SeedPatientTable Subtract(const SeedPatientTable& a, const SeedPatientTable& b) {
  if (a.size() != b.size()) {
    throw DataError("two arms have different numbers of seeds", "pair them by seed");
  }
  SeedPatientTable difference = a;
  for (size_t s = 0; s < a.size(); ++s) {
    if (a[s].size() != b[s].size()) {
      throw DataError("two arms were scored on different patients", "pair them by patient");
    }
    for (size_t p = 0; p < a[s].size(); ++p) difference[s][p] = a[s][p] - b[s][p];
  }
  return difference;
}

Interval PairedDifference(const SeedPatientTable& a, const SeedPatientTable& b,
                          std::span<const double> weights, const BootstrapOptions& options) {
  return CrossedBootstrap(Subtract(a, b), weights, options);
}

std::vector<double> RowMeans(const SeedPatientTable& values, std::span<const double> weights) {
  CheckShape(values, weights);
  std::vector<double> means;
  for (const auto& row : values) {
    double sum = 0, weight = 0;
    for (size_t p = 0; p < row.size(); ++p) {
      if (std::isnan(row[p])) continue;
      sum += WeightOf(weights, p) * row[p];
      weight += WeightOf(weights, p);
    }
    means.push_back(weight > 0 ? sum / weight : kNan);
  }
  return means;
}

}  // namespace eosin::core
