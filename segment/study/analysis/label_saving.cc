// SPDX-License-Identifier: Apache-2.0
#include "segment/study/analysis/label_saving.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/stats/crossed.h"
#include "core/stats/summary.h"

namespace eosin::segment {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// The tail of a percentile interval that is as wide as Student's for n units.
double ExpandedTail(size_t n) {
  const double units = static_cast<double>(n);
  const double z = std::sqrt(units / (units - 1)) * core::StudentQuantile(0.975, units - 1);
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

bool SameShape(const LabelCurve& a, const core::SeedPatientTable& table) {
  return std::all_of(a.tables.begin(), a.tables.end(), [&](const auto& other) {
    return other.size() == table.size() && other.front().size() == table.front().size();
  });
}

std::string Words(double labels, const LabelSaving& saving) {
  if (std::isinf(labels)) return fmt::format("more than {}", saving.most_labels);
  if (labels <= static_cast<double>(saving.fewest_labels)) {
    return fmt::format("at most {}", saving.fewest_labels);
  }
  return fmt::format("{:.0f}", labels);
}

}  // namespace

double LabelsToReach(const std::vector<int64_t>& labels, const std::vector<double>& scores,
                     double target) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!(scores[i] >= target)) continue;
    const double here = static_cast<double>(labels[i]);
    if (i == 0 || std::isnan(scores[i - 1])) return here;
    const double before = static_cast<double>(labels[i - 1]);
    const double share = (target - scores[i - 1]) / (scores[i] - scores[i - 1]);
    return std::exp(std::log(before) + share * (std::log(here) - std::log(before)));
  }
  return kNever;
}

std::vector<LabelSaving> EstimateSavings(const std::vector<LabelCurve>& curves,
                                         const std::string& reference, size_t levels,
                                         const core::BootstrapOptions& options) {
  std::vector<LabelSaving> savings;
  const auto base = std::find_if(curves.begin(), curves.end(),
                                 [&](const LabelCurve& curve) { return curve.arm == reference; });
  if (levels < 2 || base == curves.end() || base->labels.size() != levels) return savings;
  const core::SeedPatientTable& full = base->tables.back();
  const size_t seeds = full.size(), patients = full.front().size();
  if (seeds < 2 || patients < 2) return savings;
  const double tail = ExpandedTail(std::min(seeds, patients));
  for (const LabelCurve& curve : curves) {
    if (curve.arm == reference || curve.labels.size() != levels || !SameShape(curve, full))
      continue;
    auto reach = [&](const core::CrossedDraw& draw, double* target) {
      *target = core::DrawnMean(full, draw);
      std::vector<double> scores;
      for (const auto& table : curve.tables) scores.push_back(core::DrawnMean(table, draw));
      return LabelsToReach(curve.labels, scores, *target);
    };
    LabelSaving saving{.arm = curve.arm, .reference = reference};
    saving.fewest_labels = curve.labels.front();
    saving.most_labels = curve.labels.back();
    core::CrossedDraw draw{std::vector<double>(seeds, 1), std::vector<double>(patients, 1)};
    saving.labels = reach(draw, &saving.target);
    std::vector<double> drawn;
    for (int number = 0; number < options.draws; ++number) {
      core::DrawCrossed(options, number, seeds, patients, &draw);
      double target = 0;
      const double labels = reach(draw, &target);
      if (!std::isnan(target)) drawn.push_back(labels);
    }
    if (std::isnan(saving.target) || drawn.empty()) continue;
    std::sort(drawn.begin(), drawn.end());  // infinity sorts last; no values between are made up
    const double last = static_cast<double>(drawn.size() - 1);
    saving.low = drawn[static_cast<size_t>(std::floor(tail * last))];
    saving.high = drawn[static_cast<size_t>(std::ceil((1 - tail) * last))];
    savings.push_back(saving);
  }
  return savings;
}

std::string SavingWords(const LabelSaving& saving) {
  return fmt::format(
      "{}{} of {} labelled images (95 % interval {} to {})",
      std::isinf(saving.labels) || saving.labels <= static_cast<double>(saving.fewest_labels)
          ? ""
          : "about ",
      Words(saving.labels, saving), saving.most_labels, Words(saving.low, saving),
      Words(saving.high, saving));
}

}  // namespace eosin::segment
