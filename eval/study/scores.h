// SPDX-License-Identifier: Apache-2.0
// From predictions to numbers with intervals. The unit of resampling is the group (patient, slide):
// images of one patient are no independent witnesses. Accuracies: bootstrap over groups, crossed
// with repetitions (random initialisations, few-shot draws) where there are several. Measures of a
// whole set (RankMe, silhouette, ...): jackknife over up to 20 blocks of groups. Torch-free.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/stats/resample.h"

namespace eosin::eval {

// The test images by group, groups in order of name.
struct Grouping {
  std::vector<int64_t> group;  // of each image
  std::vector<double> sizes;   // images a group
  int64_t count() const { return static_cast<int64_t>(sizes.size()); }
};
Grouping MakeGrouping(const std::vector<std::string>& groups);

// Share of right predictions a group.
std::vector<double> GroupShares(const std::vector<int64_t>& predicted,
                                const std::vector<int64_t>& labels, const Grouping& grouping);

// One number of one encoder.
struct Measure {
  std::string encoder;
  std::string name;  // "linear probe", "RankMe", ...
  std::string unit;  // "%" or empty
  core::Interval value;
  int64_t n = 0;
  std::string n_of;              // "groups", "blocks of groups"
  core::SeedPatientTable table;  // accuracies: repetition x group; else empty
  std::string note;              // e.g. "not converged"
};

// An interval over fewer groups cannot show a difference: even if all n groups agreed in sign, that
// happens by chance with p = 2 / 2^n, below .05 from 6 groups on.
inline constexpr int64_t kGroupsToShow = 6;

// The mean of tables of one shape, cell by cell.
core::SeedPatientTable MeanTable(const std::vector<core::SeedPatientTable>& tables);

// Image-level accuracy in percent of a table of group shares.
Measure AccuracyMeasure(const std::string& encoder, const std::string& name,
                        core::SeedPatientTable table, const Grouping& grouping, int64_t draws,
                        uint64_t seed);

// a - b in points over the same groups. Repetitions pair one by one: row i of both must be the same
// draw of shots, or seed. A table of one row (an encoder that was not drawn) stands against every
// row of the other; any other difference in height is refused, for copies of a row would be
// resampled as if they were witnesses of their own. Both must come from the same grouping.
core::Interval Difference(const Measure& a, const Measure& b, const Grouping& grouping,
                          int64_t draws, uint64_t seed);

// value(images) on all images, and a 95 % interval from leaving out one of up to 20 blocks of
// groups at a time: estimate +- t standard errors, t of Student's distribution with blocks - 1
// degrees of freedom (Efron & Tibshirani 1993, chapter 11). NaN
// interval when there are fewer than 3 groups or the measure is undefined without a block.
core::Interval Jackknife(const Grouping& grouping, uint64_t seed, int64_t* blocks,
                         const std::function<double(const std::vector<int64_t>& images)>& value);

}  // namespace eosin::eval
