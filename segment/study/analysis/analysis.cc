// SPDX-License-Identifier: Apache-2.0
#include "segment/study/analysis/analysis.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/stats/crossed.h"
#include "core/stats/summary.h"
#include "core/stats/tests.h"

namespace eosin::segment {
namespace {

using eval::Metric;

// Mean over seeds and patients of each fold, where there are several.
std::vector<double> FoldMeans(const core::SeedPatientTable& values,
                              const std::vector<int64_t>& folds) {
  const int64_t count = folds.empty() ? 0 : *std::max_element(folds.begin(), folds.end()) + 1;
  std::vector<double> means;
  for (int64_t fold = 0; count > 1 && fold < count; ++fold) {
    std::vector<double> own;
    for (const auto& row : values) {
      for (size_t p = 0; p < row.size(); ++p) {
        if (folds[p] == fold) own.push_back(row[p]);
      }
    }
    means.push_back(core::Mean(own));
  }
  return means;
}

Comparison Compare(const StudyOptions& options, const Cell& a, const Cell& b, Metric metric) {
  if (a.patients != b.patients || a.seeds != b.seeds) {
    throw core::DataError(fmt::format("{} and {} cannot be paired", a.arm, b.arm),
                          "both arms need the same seeds and test patients");
  }
  const core::BootstrapOptions bootstrap{.draws = static_cast<int>(options.bootstrap_draws)};
  Comparison c;
  c.arm_a = a.arm;
  c.arm_b = b.arm;
  c.level = a.level;
  c.metric = metric;
  const core::SeedPatientTable differences = core::Subtract(a.table(metric), b.table(metric));
  const core::Evidence evidence = core::Weigh(differences, bootstrap);
  c.interval = evidence.interval.Within(-1, 1);
  c.variance = core::EstimateVariance(differences, {});
  c.by_fold = FoldMeans(differences, a.folds);
  c.fold_interval = core::StudentMean(c.by_fold).Within(-1, 1);
  c.by_seed = core::RowMeans(differences, {});
  c.p = evidence.test.n > 0 ? evidence.test.p : std::numeric_limits<double>::quiet_NaN();
  c.smallest_p = evidence.test.smallest_p;
  c.p_holm = c.p;
  c.cliffs_delta =
      core::CliffsDelta(core::RowMeans(a.table(metric), {}), core::RowMeans(b.table(metric), {}));
  return c;
}

// The primary first, then later arms minus earlier ones: what is tried against what is there.
void CompareAll(const StudyOptions& options, const PrimaryComparison& primary, Analysis* analysis) {
  std::vector<Comparison> others;
  const std::vector<Cell>& cells = analysis->cells;
  for (size_t a = 0; a < cells.size(); ++a) {
    for (size_t b = 0; b < cells.size(); ++b) {
      const Cell &x = cells[a], &y = cells[b];
      if (x.level != y.level || y.arm == kControlArm) continue;
      if (x.arm == kControlArm) {
        if (y.arm != "random") continue;
        analysis->control = Compare(options, x, y, primary.metric);
        analysis->control->control = true;
        continue;
      }
      const bool same_pair =
          x.level == primary.level && ((x.arm == primary.arm_a && y.arm == primary.arm_b) ||
                                       (x.arm == primary.arm_b && y.arm == primary.arm_a));
      if (same_pair && x.arm == primary.arm_a) {
        analysis->comparisons.push_back(Compare(options, x, y, primary.metric));
        analysis->comparisons.back().primary = true;
      } else if (!same_pair && a > b) {
        others.push_back(Compare(options, x, y, primary.metric));
      }
    }
  }
  std::vector<double> p_values;
  for (const Comparison& c : others) p_values.push_back(c.p);
  const std::vector<double> adjusted = core::HolmAdjust(p_values);
  for (size_t i = 0; i < others.size(); ++i) others[i].p_holm = adjusted[i];
  analysis->comparisons.insert(analysis->comparisons.end(), others.begin(), others.end());
}

std::vector<LabelSaving> FindSavings(const StudyOptions& options, const Analysis& analysis,
                                     const StudyPlan& plan, Metric metric) {
  std::vector<LabelCurve> curves;
  for (const Arm& arm : plan.arms) {
    if (!arm.skipped.empty() || arm.control()) continue;
    LabelCurve curve{.arm = arm.name};
    for (const Cell& cell : analysis.cells) {
      if (cell.arm != arm.name) continue;
      curve.labels.push_back(cell.labels);
      curve.tables.push_back(cell.table(metric));
    }
    curves.push_back(std::move(curve));
  }
  return EstimateSavings(curves, "random", plan.levels.size(),
                         {.draws = static_cast<int>(options.bootstrap_draws)});
}

}  // namespace

Analysis Analyze(const StudyOptions& options, const StudyPlan& plan, const Results& results,
                 const std::vector<TunedRate>& tuned) {
  if (results.size() != plan.jobs.size()) {
    throw core::DataError(
        fmt::format("{} results for {} runs of the study", results.size(), plan.jobs.size()),
        "finish the study first: eosin study --resume");
  }
  Analysis analysis;
  analysis.tuned = tuned;
  analysis.jobs = results.size();
  for (const auto& result : results) analysis.jobs_done += result.has_value();
  for (const ImageSplit& split : plan.splits) {
    analysis.test_images += static_cast<int64_t>(split.test.size());
  }
  const PrimaryComparison primary = ParsePrimary(options.primary);
  analysis.cells = MakeCells(options, plan, results);
  if (!analysis.cells.empty()) {
    analysis.test_patients = static_cast<int64_t>(analysis.cells.front().patients.size());
  }
  CompareAll(options, primary, &analysis);
  analysis.floor = MeasureFloor(options, plan, results, primary.metric);
  analysis.constant = ScoreConstant(options, plan, results, primary.metric);
  analysis.savings = FindSavings(options, analysis, plan, primary.metric);
  analysis.transfer = MeasureTransfer(options, plan, results);
  analysis.drift = CollectDrift(plan, results);
  JudgeStudy(options, plan, primary, &analysis);
  return analysis;
}

}  // namespace eosin::segment
