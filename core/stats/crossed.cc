// SPDX-License-Identifier: Apache-2.0
#include "core/stats/crossed.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/philox.h"
#include "core/stats/summary.h"
#include "core/stats/variance.h"

namespace eosin::core {

void DrawCrossed(const BootstrapOptions& options, int number, size_t seeds, size_t patients,
                 CrossedDraw* draw) {
  PhiloxStream stream(options.seed, DrawPurpose::kBootstrap, static_cast<uint32_t>(number), 0);
  draw->seeds.assign(seeds, 0);
  draw->patients.assign(patients, 0);
  for (size_t i = 0; i < seeds; ++i) ++draw->seeds[stream.Below(static_cast<uint32_t>(seeds))];
  for (size_t i = 0; i < patients; ++i) {
    ++draw->patients[stream.Below(static_cast<uint32_t>(patients))];
  }
}

double DrawnMean(const SeedPatientTable& values, const CrossedDraw& draw) {
  double sum = 0, weight = 0;
  for (size_t s = 0; s < values.size(); ++s) {
    if (draw.seeds[s] == 0) continue;
    for (size_t p = 0; p < values[s].size(); ++p) {
      if (draw.patients[p] == 0 || std::isnan(values[s][p])) continue;
      const double w = draw.seeds[s] * draw.patients[p];
      sum += w * values[s][p];
      weight += w;
    }
  }
  return weight > 0 ? sum / weight : std::numeric_limits<double>::quiet_NaN();
}

Interval StudentInterval(const SeedPatientTable& values, std::span<const double> weights,
                         const BootstrapOptions& options) {
  Interval interval = CrossedBootstrap(values, weights, options);
  if (std::isnan(interval.low)) return interval;
  const CrossedVariance variance = EstimateVariance(values, weights);
  const double tail = (1.0 - options.level) / 2;
  const double half = StudentQuantile(1.0 - tail, variance.degrees) * std::sqrt(variance.mean);
  const double width = interval.high - interval.low;
  // How much of the width lies below; draws that all agree say nothing of it.
  const double below =
      width > 0 ? std::clamp((interval.estimate - interval.low) / width, 0.0, 1.0) : 0.5;
  interval.low = interval.estimate - 2 * half * below;
  interval.high = interval.estimate + 2 * half * (1 - below);
  return interval;
}

Interval StudentMean(std::span<const double> values, double level) {
  const auto n =
      std::count_if(values.begin(), values.end(), [](double v) { return !std::isnan(v); });
  Interval interval;
  interval.estimate = Mean(values);
  interval.low = interval.high = std::numeric_limits<double>::quiet_NaN();
  if (n < 2) return interval;
  const double count = static_cast<double>(n);
  const double half =
      StudentQuantile(0.5 + level / 2, count - 1) * StandardDeviation(values) / std::sqrt(count);
  interval.low = interval.estimate - half;
  interval.high = interval.estimate + half;
  return interval;
}

}  // namespace eosin::core
