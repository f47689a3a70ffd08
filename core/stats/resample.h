// SPDX-License-Identifier: Apache-2.0
// Crossed bootstrap: seeds and patients are two random samples crossed with each other, so each
// draw resamples both, independently, with replacement (Owen, Ann. Appl. Stat. 1 (2007), the
// pigeonhole bootstrap). Percentile intervals. Draws come from Philox: same input, same interval.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace eosin::core {

// values[seed][patient]; NaN = n/a. Every row has the same length.
using SeedPatientTable = std::vector<std::vector<double>>;

struct Interval {
  double estimate = 0.0;  // weighted mean of the cells that are not n/a
  double low = 0.0;
  double high = 0.0;
  // False where the interval is not known.
  bool Excludes(double value) const { return low > value || high < value; }
  // With both ends inside what is possible: Student's width does not know that scores end at 1.
  Interval Within(double least, double most) const {
    return {estimate, low < least ? least : low, high > most ? most : high};
  }
};

struct BootstrapOptions {
  int draws = 10000;
  double level = 0.95;
  uint64_t seed = 1;
};

// Mean over seeds and patients. weights: one a patient, empty = equal. All NaN where the table has
// no value; low and high NaN where fewer than two patients have one, for then resampling sees no
// spread between patients and the width would be a lie. Draws that meet only n/a cells are skipped.
Interval CrossedBootstrap(const SeedPatientTable& values, std::span<const double> weights,
                          const BootstrapOptions& options = {});

// The same of a - b, cell by cell; a cell that is n/a in either is n/a. Shapes must agree.
Interval PairedDifference(const SeedPatientTable& a, const SeedPatientTable& b,
                          std::span<const double> weights, const BootstrapOptions& options = {});

// a - b, cell by cell, and the weighted mean of each row (one difference a seed).
SeedPatientTable Subtract(const SeedPatientTable& a, const SeedPatientTable& b);
std::vector<double> RowMeans(const SeedPatientTable& values, std::span<const double> weights);

}  // namespace eosin::core
