// SPDX-License-Identifier: Apache-2.0
// Two tests of significance: the exact sign-flip test of a study's primary comparison and Holm's
// adjustment of all the others.
#pragma once

#include <span>
#include <vector>

namespace eosin::core {

inline constexpr int kMaxSignFlips = 20;  // the subsets of seeds that a study can afford

struct SignFlipResult {
  double p = 1.0;           // two-sided
  double smallest_p = 1.0;  // what n can reach at all: 2 / 2^n
  int n = 0;
  double mean = 0.0;  // of the differences
};

// Exact two-sided test that paired differences (one a seed) are symmetric about 0: of all 2^n ways
// to flip their signs, the share whose |mean| is at least the observed one (Fisher 1935). NaN
// differences are left out. Throws ConfigError for n > kMaxSignFlips.
SignFlipResult SignFlipTest(std::span<const double> differences);

// Adjusted p-values, in the order given: step-down of Holm, Scand. J. Stat. 6 (1979). NaN entries
// (tests that could not be made) stay NaN and do not count.
std::vector<double> HolmAdjust(std::span<const double> p_values);

}  // namespace eosin::core
