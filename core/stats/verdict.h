// SPDX-License-Identifier: Apache-2.0
// The rule by which a study may claim a difference, and a simulation of studies whose truth is
// known, which says what the rule's intervals cover, how often it claims what is not there and how
// often it finds what is.
#pragma once

#include <cstdint>

#include "core/stats/resample.h"
#include "core/stats/tests.h"

namespace eosin::core {

inline constexpr int kSeedsForVerdict = 6;  // 2 / 2^6 = .031 is the first that can pass .05

enum class Claim {
  kShown,      // all four conditions hold
  kNotShown,   // one does not
  kNoVerdict,  // too few seeds, or no value at all
};

struct Evidence {
  Interval interval;    // 95 %, of the paired difference over patients and seeds
  SignFlipResult test;  // of the seeds' mean differences
  double floor = 0;     // the difference that a repeat with the same seed makes; NaN: not measured
};

// Shown: at least kSeedsForVerdict seeds, the exact test below .05, the interval without 0, and a
// difference larger than the noise floor, which was measured. Test and interval guard against
// different mistakes: the test is exact over seeds but knows these patients only, the interval
// reaches beyond them.
Claim Judge(const Evidence& evidence);

// Evidence of a table of paired differences, differences[seed][patient].
Evidence Weigh(const SeedPatientTable& differences, const BootstrapOptions& options,
               double floor = 0);

struct SimulatedStudy {
  int seeds = 6, patients = 16;
  double effect = 0;                                // true mean difference
  double sd_seed = 0, sd_patient = 0, sd_cell = 0;  // of paired differences
  // 0: normal patient effects. Above: patients' effects are a shifted gamma distribution of this
  // skewness and the same standard deviation (few patients with large differences).
  double skewness = 0;
  // Patients are dealt to so many folds, whose training sets and encoders differ by sd_fold.
  int folds = 1;
  double sd_fold = 0;
};

struct SimulationResult {
  int studies = 0;
  // Share of Student intervals that hold the true difference: of the folds that were drawn, and of
  // all training sets. The same without folds.
  double coverage = 0, coverage_any = 0;
  double coverage_folds = 0;       // of StudentMean over the folds' differences, all training sets
  double coverage_percentile = 0;  // the same of percentile intervals
  double width = 0, width_folds = 0;  // mean widths of the Student intervals and of those of folds
  double shown = 0;                   // share of studies whose verdict is "shown"
  double wrong_side = 0;              // shown, and of the wrong sign
  double test_only = 0;               // share with p < .05, whatever the interval
};

// Each study draws its table from Philox (seed, kTest, study number). draws: of each interval.
SimulationResult SimulateStudies(const SimulatedStudy& study, int studies, int draws, uint64_t seed,
                                 int threads);

}  // namespace eosin::core
