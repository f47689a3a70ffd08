// SPDX-License-Identifier: Apache-2.0
#include "core/stats/tests.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "core/base/error.h"

namespace eosin::core {
namespace {

// The sums of all 2^n ways to sign the values.
std::vector<double> SignedSums(std::span<const double> values) {
  std::vector<double> sums = {0};
  for (const double value : values) {
    const size_t count = sums.size();
    for (size_t i = 0; i < count; ++i) {
      sums.push_back(sums[i] - value);
      sums[i] += value;
    }
  }
  return sums;
}

}  // namespace

SignFlipResult SignFlipTest(std::span<const double> differences) {
  std::vector<double> d;
  for (const double value : differences) {
    if (!std::isnan(value)) d.push_back(value);
  }
  if (d.size() > static_cast<size_t>(kMaxSignFlips)) {
    throw ConfigError(fmt::format("{} seeds are too many for the exact sign-flip test", d.size()),
                      fmt::format("use at most {} seeds", kMaxSignFlips));
  }
  SignFlipResult result;
  result.n = static_cast<int>(d.size());
  if (d.empty()) return result;
  const double observed = std::accumulate(d.begin(), d.end(), 0.0);
  double scale = 0;
  for (const double value : d) scale += std::fabs(value);
  // Sums that agree in exact arithmetic may differ in the last bits.
  const double bar = std::fabs(observed) - 1e-12 * scale;
  // A pattern's sum is a sum over the first half plus one over the second: with one half sorted,
  // the extreme patterns are counted by search, 2^(n/2) times, instead of one by one.
  const size_t half = d.size() / 2;
  const std::vector<double> first = SignedSums({d.data(), half});
  std::vector<double> second = SignedSums({d.data() + half, d.size() - half});
  std::sort(second.begin(), second.end());
  uint64_t extreme = 0;
  for (const double a : first) {
    const auto up = std::lower_bound(second.begin(), second.end(), bar - a);
    // Where the bar is 0 every pattern is extreme, and must not count twice.
    const auto down = std::min(up, std::upper_bound(second.begin(), second.end(), -bar - a));
    extreme += static_cast<uint64_t>((second.end() - up) + (down - second.begin()));
  }
  const uint64_t patterns = uint64_t{1} << d.size();
  result.p = static_cast<double>(extreme) / static_cast<double>(patterns);
  result.smallest_p = std::min(1.0, 2.0 / static_cast<double>(patterns));
  result.mean = observed / result.n;
  return result;
}

std::vector<double> HolmAdjust(std::span<const double> p_values) {
  std::vector<double> adjusted(p_values.begin(), p_values.end());
  std::vector<size_t> order;
  for (size_t i = 0; i < p_values.size(); ++i) {
    if (!std::isnan(p_values[i])) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return p_values[a] < p_values[b]; });
  double running = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const double factor = static_cast<double>(order.size() - rank);
    running = std::max(running, std::min(1.0, factor * p_values[order[rank]]));
    adjusted[order[rank]] = running;
  }
  return adjusted;
}

}  // namespace eosin::core
