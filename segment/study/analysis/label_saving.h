// SPDX-License-Identifier: Apache-2.0
// How many labels an arm needs for the score that the reference reaches with the most labels:
// "labels saved", with an interval. Pure, torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/stats/resample.h"

namespace eosin::segment {

// Scores of one arm over label levels, by rising number of labels; every table has the same seeds
// and patients.
struct LabelCurve {
  std::string arm;
  std::vector<int64_t> labels;
  std::vector<core::SeedPatientTable> tables;
};

struct LabelSaving {
  std::string arm, reference;
  double target = 0;  // the reference's mean score at its most labels
  int64_t most_labels = 0, fewest_labels = 0;
  // Labels at which the arm reaches the target. Values at or below fewest_labels mean "at most
  // fewest_labels" (censored: fewer were not tried), infinity means "not with most_labels".
  double labels = 0, low = 0, high = 0;
};

// The first crossing of the target, straight lines between levels over the logarithm of labels;
// the first level where it is reached there already; infinity where it is never.
double LabelsToReach(const std::vector<int64_t>& labels, const std::vector<double>& scores,
                     double target);

// One entry an arm other than the reference. Draws of the crossed bootstrap resample all levels of
// both arms together, target included; the interval's tails are those of a percentile interval
// widened for the smaller of seeds and patients, n: Phi(-sqrt(n / (n - 1)) t(.975, n - 1))
// (Hesterberg, Am. Stat. 69 (2015), "expanded percentile"). Nothing where the reference or one of
// `levels` levels is missing, fewer than two levels, or seeds or patients are fewer than two.
std::vector<LabelSaving> EstimateSavings(const std::vector<LabelCurve>& curves,
                                         const std::string& reference, size_t levels,
                                         const core::BootstrapOptions& options);

// "about 23 of 85 labelled images (95 % interval 10 to 51)", with the censored ends in words.
std::string SavingWords(const LabelSaving& saving);

}  // namespace eosin::segment
