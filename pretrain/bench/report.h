// SPDX-License-Identifier: Apache-2.0
// What a benchmark found: OUT/results.csv (a row a cell and baseline), OUT/summary.md and
// OUT/report.html (a row a setting: mean over seeds, intervals, published figures beside them).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pretrain/bench/run.h"

namespace eosin::pretrain {

// Mean of a score over seeds. NaN where there is none.
struct SeedSummary {
  std::vector<double> values;
  double mean = 0;
  // 95 % for the mean over seeds, Student's t; only with 3 seeds or more, else NaN.
  double low = 0, high = 0;
  // 95 % for the share of all images of that kind, given the test images (Wilson 1927), of the
  // mean.
  double test_low = 0, test_high = 0;
  std::string Text() const;  // "84.8 [84.1, 85.5]" in per cent, or the values: "84.5, 84.9"
};
SeedSummary Summarise(std::vector<double> shares, int64_t test_images);

// The published figure of a cell's setting, or of the nearest one (lightly's views have no blur),
// in per cent with its source. Empty where there is none, and where the cell differs from it in
// budget, network width or a key that was set.
struct Published {
  std::string figure, source;
  int64_t test_images = 0;  // it was asked about: comparable with a score of as many alone
};
Published PublishedKnn(const BenchOptions& options, const BenchCell& cell);

// The sentence at the top: what the figures can be used for.
std::string BudgetSentence(const BenchOptions& options, const BenchResults& results);

std::string ResultsCsv(const BenchOptions& options, const BenchResults& results);
void WriteBenchReport(const BenchOptions& options, const BenchResults& results,
                      const std::filesystem::path& out);

}  // namespace eosin::pretrain
