// SPDX-License-Identifier: Apache-2.0
// The natural optical density of the 256 grey levels, OD = -ln((I + 1) / 256), as constants: equal
// on every machine, whatever its mathematics library.
#pragma once

#include <array>
#include <cstddef>

namespace eosin::core {

namespace internal {

// ln(x), 0 < x <= 1, to double precision: halvings and the series of 2 artanh((x - 1) / (x + 1)).
constexpr double LogOfShare(double x) {
  int halvings = 0;
  while (x < 0.70710678) {
    x *= 2;
    ++halvings;
  }
  const double t = (x - 1) / (x + 1), square = t * t;
  double power = t, sum = 0;
  for (int k = 1; k < 40; k += 2) {
    sum += power / k;
    power *= square;
  }
  return 2 * sum - halvings * 0.693147180559945309417;
}

constexpr std::array<double, 256> MakeDensities() {
  std::array<double, 256> table{};
  for (size_t i = 0; i < 256; ++i) table[i] = -LogOfShare((static_cast<double>(i) + 1) / 256);
  return table;
}

}  // namespace internal

inline constexpr std::array<double, 256> kDensities = internal::MakeDensities();

}  // namespace eosin::core
