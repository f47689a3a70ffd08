// SPDX-License-Identifier: Apache-2.0
#include "core/stats/variance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/stats/summary.h"

namespace eosin::core {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Sums over rows, columns and all of weight and weight * value.
struct Sums {
  std::vector<double> row_weight, row_sum, column_weight, column_sum;
  double weight = 0, sum = 0;
};

Sums SumUp(const SeedPatientTable& values, std::span<const double> weights) {
  Sums sums;
  const size_t patients = values.front().size();
  sums.row_weight.resize(values.size());
  sums.row_sum.resize(values.size());
  sums.column_weight.resize(patients);
  sums.column_sum.resize(patients);
  for (size_t s = 0; s < values.size(); ++s) {
    for (size_t p = 0; p < patients; ++p) {
      if (std::isnan(values[s][p])) continue;
      const double w = weights.empty() ? 1.0 : weights[p];
      sums.row_weight[s] += w;
      sums.column_weight[p] += w;
      sums.weight += w;
      sums.row_sum[s] += w * values[s][p];
      sums.column_sum[p] += w * values[s][p];
      sums.sum += w * values[s][p];
    }
  }
  return sums;
}

// Variance of the mean by leaving out one unit after the other; `count` gets the units seen.
double Jackknife(const std::vector<double>& weight, const std::vector<double>& sum,
                 double total_weight, double total_sum, int* count) {
  std::vector<double> without;
  for (size_t i = 0; i < weight.size(); ++i) {
    if (weight[i] > 0 && weight[i] < total_weight) {
      without.push_back((total_sum - sum[i]) / (total_weight - weight[i]));
    }
  }
  *count =
      static_cast<int>(std::count_if(weight.begin(), weight.end(), [](double w) { return w > 0; }));
  if (without.size() < 2) return 0;
  const double n = static_cast<double>(without.size());
  return (n - 1) / n * (n - 1) * std::pow(StandardDeviation(without), 2);
}

// `by_*`: mean squares over S P; Satterthwaite's degrees of freedom of their signed sum.
double Degrees(double by_seed, double by_patient, double by_cell, int seeds, int patients,
               double variance) {
  const double fewest = std::max(1, seeds > 1 ? std::min(seeds, patients) - 1 : patients - 1);
  double spread = by_patient * by_patient / (patients - 1);
  if (seeds > 1) {
    spread += by_seed * by_seed / (seeds - 1) +
              by_cell * by_cell / (static_cast<double>(seeds - 1) * (patients - 1));
  }
  return spread > 0 ? std::max(fewest, variance * variance / spread) : fewest;
}

}  // namespace

CrossedVariance EstimateVariance(const SeedPatientTable& values, std::span<const double> weights) {
  CrossedVariance result;
  result.mean = result.degrees = kNan;
  if (values.empty() || values.front().empty()) return result;
  const Sums sums = SumUp(values, weights);
  double by_seed = Jackknife(sums.row_weight, sums.row_sum, sums.weight, sums.sum, &result.seeds);
  double by_patient =
      Jackknife(sums.column_weight, sums.column_sum, sums.weight, sums.sum, &result.patients);
  if (result.patients < 2) return result;
  const double s = result.seeds, p = result.patients;

  double by_cell = 0;
  if (result.seeds > 1) {
    const double mean = sums.sum / sums.weight;
    double squares = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      for (size_t j = 0; j < values[i].size(); ++j) {
        if (std::isnan(values[i][j])) continue;
        const double w = weights.empty() ? 1.0 : weights[j];
        if (w <= 0) continue;
        const double rest = values[i][j] - sums.row_sum[i] / sums.row_weight[i] -
                            sums.column_sum[j] / sums.column_weight[j] + mean;
        squares += w * w * rest * rest;
      }
    }
    by_cell = squares / (sums.weight * sums.weight) * s * p / ((s - 1) * (p - 1));
    result.seed = std::max(0.0, by_seed - by_cell) * s;
    result.cell = by_cell * s * p;
  }
  result.patient = std::max(0.0, by_patient - by_cell) * p;
  result.mean = std::max(by_seed, by_cell) + std::max(by_patient, by_cell) - by_cell;
  result.degrees =
      Degrees(by_seed, by_patient, by_cell, result.seeds, result.patients, result.mean);
  return result;
}

MeanVariance VarianceAt(const CrossedVariance& v, int seeds, int patients) {
  const double by_cell = v.cell / (static_cast<double>(seeds) * patients);
  const double by_seed = v.seed / seeds + by_cell, by_patient = v.patient / patients + by_cell;
  MeanVariance at;
  at.variance = by_seed + by_patient - by_cell;
  at.degrees = Degrees(by_seed, by_patient, by_cell, seeds, patients, at.variance);
  return at;
}

NeededSize SizeForPower(const CrossedVariance& components, double effect, double power,
                        int least_seeds) {
  NeededSize needed;
  if (!(std::fabs(effect) > 0) || components.patients < 2 || components.seeds < 2) return needed;
  auto enough = [&](int seeds, int patients) {
    const MeanVariance at = VarianceAt(components, seeds, patients);
    const double t = StudentQuantile(0.975, at.degrees) + StudentQuantile(power, at.degrees);
    return std::fabs(effect) >= t * std::sqrt(at.variance);
  };
  // The first number from `from` on that is enough: doubling, then halving the gap.
  auto first = [](int from, int most, auto&& good) {
    int high = from;
    if (from > most) return 0;
    while (!good(high)) {
      if (high >= most) return 0;
      high = std::min(most, 2 * high);
    }
    int low = std::max(from - 1, high / 2);
    if (high == from) return from;
    while (high - low > 1) {
      const int middle = low + (high - low) / 2;
      (good(middle) ? high : low) = middle;
    }
    return high;
  };
  needed.seeds = first(std::max(components.seeds + 1, least_seeds), kMaxNeededSeeds,
                       [&](int n) { return enough(n, components.patients); });
  auto patients_at = [&](int seeds) {
    return first(components.patients + 1, kMaxNeededPatients,
                 [&](int n) { return enough(seeds, n); });
  };
  needed.patients = patients_at(std::max(components.seeds, least_seeds));
  needed.patients_at_most_seeds = patients_at(std::max(components.seeds, kMaxNeededSeeds));
  return needed;
}

}  // namespace eosin::core
