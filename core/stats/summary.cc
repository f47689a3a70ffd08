// SPDX-License-Identifier: Apache-2.0
#include "core/stats/summary.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>

namespace eosin::core {
namespace {
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
}

double Mean(std::span<const double> values) {
  double sum = 0;
  int n = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++n;
  }
  return n > 0 ? sum / n : kNan;
}

double StandardDeviation(std::span<const double> values) {
  const double mean = Mean(values);
  double sum = 0;
  int n = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += (value - mean) * (value - mean);
    ++n;
  }
  return n > 1 ? std::sqrt(sum / (n - 1)) : kNan;
}

double Quantile(std::vector<double> values, double q) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return kNan;
  const double position = std::clamp(q, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, values.size() - 1);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(below),
                   values.end());
  const double low = values[below];
  if (above == below) return low;
  const double high =
      *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(above), values.end());
  return low + (position - static_cast<double>(below)) * (high - low);
}

double StudentQuantile(double q, double degrees) {
  return boost::math::quantile(boost::math::students_t(degrees), q);
}

double CliffsDelta(std::span<const double> a, std::span<const double> b) {
  int64_t balance = 0, pairs = 0;
  for (const double x : a) {
    for (const double y : b) {
      if (std::isnan(x) || std::isnan(y)) continue;
      balance += (x > y) - (x < y);
      ++pairs;
    }
  }
  return pairs > 0 ? static_cast<double>(balance) / static_cast<double>(pairs) : kNan;
}

}  // namespace eosin::core
