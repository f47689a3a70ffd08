// SPDX-License-Identifier: Apache-2.0
// Plain summaries of a few numbers. NaN stands for "n/a" (a class absent from truth and prediction)
// and is left out everywhere; a summary of nothing is NaN.
#pragma once

#include <span>
#include <vector>

namespace eosin::core {

double Mean(std::span<const double> values);

// Sample standard deviation (n - 1); NaN for fewer than two values.
double StandardDeviation(std::span<const double> values);

// Linear interpolation between order statistics (numpy's default). q in [0, 1].
double Quantile(std::vector<double> values, double q);

// Quantile of Student's t with this many degrees of freedom, > 0; q in (0, 1).
double StudentQuantile(double q, double degrees);

// Cliff's delta: P(a > b) - P(a < b) over all pairs; in [-1, 1]. Cliff, Psychol. Bull. 114 (1993).
double CliffsDelta(std::span<const double> a, std::span<const double> b);

}  // namespace eosin::core
