// SPDX-License-Identifier: Apache-2.0
// Where the spread of a seeds x patients table comes from, how sure its mean is, and how many seeds
// or patients a difference would need. The model is v = m + seed + patient + cell, all three random
// and independent: two crossed random factors.
#pragma once

#include <span>

#include "core/stats/resample.h"

namespace eosin::core {

struct CrossedVariance {
  int seeds = 0, patients = 0;  // rows and columns that have a value
  // Variance components (not standard deviations), >= 0: analysis of variance, truncated at 0.
  double seed = 0, patient = 0, cell = 0;
  double mean = 0;     // variance of the table's mean; NaN with fewer than two patients
  double degrees = 0;  // of freedom of `mean`, Satterthwaite (Biometrics Bull. 2 (1946))
};

// Balanced tables: seed = (MS_seed - MS_cell) / P, patient = (MS_patient - MS_cell) / S,
// cell = MS_cell, mean = seed / S + patient / P + cell / (S P). With n/a cells and weights the mean
// squares are jackknife variances over rows and over columns, which are the same where the table is
// balanced. With one seed only the patients' spread is known, and the mean is about that seed.
CrossedVariance EstimateVariance(const SeedPatientTable& values, std::span<const double> weights);

// Variance and degrees of freedom of the mean of a table of another size.
struct MeanVariance {
  double variance = 0, degrees = 0;
};
MeanVariance VarianceAt(const CrossedVariance& components, int seeds, int patients);

inline constexpr int kMaxNeededSeeds = 20;  // the most that the exact test is run with
inline constexpr int kMaxNeededPatients = 100000;
struct NeededSize {                // 0 = no number up to the most is enough
  int seeds = 0;                   // at the patients of the table
  int patients = 0;                // at the seeds of the table
  int patients_at_most_seeds = 0;  // at kMaxNeededSeeds
};

// The smallest S > the table's (and >= `least_seeds`), or P > the table's, whose
//   |effect| >= (t(.975, df) + t(power, df)) sqrt(seed / S + patient / P + cell / (S P)),
// the usual normal-theory formula for a two-sided test at .05, with the variance of two crossed
// random factors and Satterthwaite's df (Westfall, Kenny and Judd, J. Exp. Psychol. Gen. 143
// (2014)). It takes the observed components for the true ones, so it is a guide, no promise.
NeededSize SizeForPower(const CrossedVariance& components, double effect, double power,
                        int least_seeds);

}  // namespace eosin::core
