// SPDX-License-Identifier: Apache-2.0
// Intervals of a study's differences that hold for few seeds and few patients, and the draws of the
// crossed bootstrap (core/stats/resample.h) for statistics of several tables at once.
#pragma once

#include "core/stats/resample.h"

namespace eosin::core {

// How often one draw takes each seed and each patient.
struct CrossedDraw {
  std::vector<double> seeds, patients;
};

// The draw of this number. Tables of equal shape get equal draws: statistics of several tables of
// one study are resampled together.
void DrawCrossed(const BootstrapOptions& options, int number, size_t seeds, size_t patients,
                 CrossedDraw* draw);

// Mean of a table under a draw; NaN where the draw meets only n/a cells.
double DrawnMean(const SeedPatientTable& values, const CrossedDraw& draw);

// The crossed bootstrap's percentile interval, stretched about the estimate until its whole width
// is Student's: 2 t(degrees) sqrt(variance), both from EstimateVariance (core/stats/variance.h).
// The draws decide only how the width is shared between the two sides.
//
// Percentile ends are too narrow for few seeds or patients, for two reasons (measured in
// docs/study.md): resampling n units shows (n - 1) / n of their variance, and its tails are those
// of a normal distribution although the variance is estimated from n units (Hesterberg, Am. Stat.
// 69 (2015), on narrowness bias; here for two crossed samples). Not known, as there, with fewer
// than two patients; with one seed it is about that seed alone.
Interval StudentInterval(const SeedPatientTable& values, std::span<const double> weights,
                         const BootstrapOptions& options = {});

// Mean of independent values with Student's interval, mean -+ t(n - 1) sd / sqrt(n): of folds, say.
// NaN values are left out; ends are NaN for fewer than two.
Interval StudentMean(std::span<const double> values, double level = 0.95);

}  // namespace eosin::core
