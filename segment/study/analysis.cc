// SPDX-License-Identifier: Apache-2.0
#include "segment/study/analysis.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/stats/summary.h"
#include "core/stats/tests.h"

namespace eosin::segment {
namespace {

using eval::Metric;

constexpr int kSeedsForVerdict = 6;  // 2 / 2^6 = .031 is the first that can pass .05
constexpr double kAlpha = 0.05;

core::BootstrapOptions Bootstrap(const StudyOptions& options) {
  core::BootstrapOptions bootstrap;
  bootstrap.draws = static_cast<int>(options.bootstrap_draws);
  return bootstrap;
}

Cell MakeCell(const StudyOptions& options, const std::string& arm, double fraction,
              const std::vector<const SegmentResult*>& results, const std::vector<int64_t>& seeds) {
  const int skip = static_cast<int>(options.segment.data.background);
  const int classes = static_cast<int>(options.segment.data.classes.size());
  Cell cell;
  cell.arm = arm;
  cell.fraction = fraction;
  cell.seeds = seeds;
  std::vector<std::vector<double>> class_dice(static_cast<size_t>(classes));
  std::vector<std::vector<double>> class_iou = class_dice;
  std::vector<double> micro_dice, micro_iou, last_dice;
  for (const SegmentResult* result : results) {
    const auto patients = eval::PoolByPatient(result->test);
    std::vector<std::string> names;
    std::vector<double> dice, iou;
    for (const eval::ImageCounts& patient : patients) {
      names.push_back(patient.patient);
      dice.push_back(patient.counts.MeanScore(Metric::kDice, skip));
      iou.push_back(patient.counts.MeanScore(Metric::kIou, skip));
    }
    if (!cell.patients.empty() && cell.patients != names) {
      throw core::DataError(fmt::format("the runs of {} were scored on different patients", arm),
                            "use one split for the whole study: delete runs/ and start again");
    }
    cell.patients = names;
    cell.dice.push_back(dice);
    cell.iou.push_back(iou);
    for (int c = 0; c < classes; ++c) {
      class_dice[static_cast<size_t>(c)].push_back(eval::MacroScore(patients, Metric::kDice, c));
      class_iou[static_cast<size_t>(c)].push_back(eval::MacroScore(patients, Metric::kIou, c));
    }
    const eval::ConfusionMatrix pooled = eval::PoolAll(result->test, classes);
    micro_dice.push_back(pooled.MeanScore(Metric::kDice, skip));
    micro_iou.push_back(pooled.MeanScore(Metric::kIou, skip));
    last_dice.push_back(
        eval::MacroScore(eval::PoolByPatient(result->test_last), Metric::kDice, -1, skip));
  }
  for (int c = 0; c < classes; ++c) {
    cell.class_dice.push_back(core::Mean(class_dice[static_cast<size_t>(c)]));
    cell.class_iou.push_back(core::Mean(class_iou[static_cast<size_t>(c)]));
  }
  cell.dice_interval = core::CrossedBootstrap(cell.dice, {}, Bootstrap(options));
  cell.iou_interval = core::CrossedBootstrap(cell.iou, {}, Bootstrap(options));
  cell.dice_sd = core::StandardDeviation(core::RowMeans(cell.dice, {}));
  cell.micro_dice = core::Mean(micro_dice);
  cell.micro_iou = core::Mean(micro_iou);
  cell.last_dice = core::Mean(last_dice);
  return cell;
}

Comparison Compare(const StudyOptions& options, const Cell& a, const Cell& b, Metric metric) {
  if (a.patients != b.patients || a.seeds != b.seeds) {
    throw core::DataError(fmt::format("{} and {} cannot be paired", a.arm, b.arm),
                          "both arms need the same seeds and test patients");
  }
  const auto& table_a = metric == Metric::kDice ? a.dice : a.iou;
  const auto& table_b = metric == Metric::kDice ? b.dice : b.iou;
  Comparison c;
  c.arm_a = a.arm;
  c.arm_b = b.arm;
  c.fraction = a.fraction;
  c.metric = metric;
  c.interval = core::PairedDifference(table_a, table_b, {}, Bootstrap(options));
  c.by_seed = core::RowMeans(core::Subtract(table_a, table_b), {});
  const core::SignFlipResult test = core::SignFlipTest(c.by_seed);
  c.p = test.n > 0 ? test.p : std::numeric_limits<double>::quiet_NaN();
  c.smallest_p = test.smallest_p;
  c.p_holm = c.p;
  c.cliffs_delta = core::CliffsDelta(core::RowMeans(table_a, {}), core::RowMeans(table_b, {}));
  return c;
}

std::string Label(const StudyPlan& plan, const std::string& name) {
  for (const Arm& arm : plan.arms) {
    if (arm.name == name) return arm.label;
  }
  return name;
}

void Judge(const StudyPlan& plan, const PrimaryComparison& primary, Analysis* analysis) {
  for (const std::string& name : {primary.arm_a, primary.arm_b}) {
    for (const Arm& arm : plan.arms) {
      if (arm.name != name || arm.skipped.empty()) continue;
      analysis->verdict = VerdictKind::kNoVerdict;
      analysis->verdict_sentence = fmt::format(
          "No verdict: the primary comparison needs the arm {}, which was skipped ({}).", arm.label,
          arm.skipped);
      return;
    }
  }
  const Comparison& c = analysis->comparisons.front();
  const std::string metric = c.metric == Metric::kDice ? "Dice" : "IoU";
  const std::string interval =  // one patient has none
      std::isnan(c.interval.low)
          ? "95 % interval not known"
          : fmt::format("95 % interval {:+.3f} to {:+.3f}", c.interval.low, c.interval.high);
  const std::string difference =
      fmt::format("{} minus {} = {:+.3f} {} ({}) with {:g} % of the labels", Label(plan, c.arm_a),
                  Label(plan, c.arm_b), c.interval.estimate, metric, interval, 100 * c.fraction);
  const std::string patients = fmt::format("on these {} patient{}", analysis->test_patients,
                                           analysis->test_patients == 1 ? "" : "s");
  const size_t seeds = c.by_seed.size();
  if (std::isnan(c.interval.estimate)) {
    analysis->verdict = VerdictKind::kNoVerdict;
    analysis->verdict_sentence =
        "No verdict: no foreground class was seen in the test images or predicted by either arm.";
  } else if (seeds < kSeedsForVerdict) {
    analysis->verdict = VerdictKind::kNoVerdict;
    analysis->verdict_sentence = fmt::format(
        "No verdict: {} seed{} cannot reach p < .05 (the smallest possible p is {:.3g}). "
        "Observed {}: {}.",
        seeds, seeds == 1 ? "" : "s", c.smallest_p, patients, difference);
  } else if (c.p < kAlpha && c.interval.Excludes(0)) {
    analysis->verdict = VerdictKind::kShown;
    const bool positive = c.interval.estimate > 0;
    analysis->verdict_sentence =
        fmt::format("{} is better than {}: {}, {} (exact sign-flip over {} seeds, p = {:.3g}).",
                    Label(plan, positive ? c.arm_a : c.arm_b),
                    Label(plan, positive ? c.arm_b : c.arm_a), difference, patients, seeds, c.p);
  } else {
    analysis->verdict = VerdictKind::kNotShown;
    analysis->verdict_sentence =
        fmt::format("Not shown: {}, {} (exact sign-flip over {} seeds, p = {:.3g}).", difference,
                    patients, seeds, c.p);
  }
}

}  // namespace

Analysis Analyze(const StudyOptions& options, const StudyPlan& plan,
                 const std::vector<SegmentResult>& results) {
  if (results.size() != plan.jobs.size()) {
    throw core::DataError(
        fmt::format("{} results for {} runs of the study", results.size(), plan.jobs.size()),
        "finish the study first: eosin study --resume");
  }
  Analysis analysis;
  analysis.test_images = static_cast<int64_t>(plan.split.test.size());
  for (const double fraction : options.fractions) {
    for (const Arm& arm : plan.arms) {
      std::vector<const SegmentResult*> own;
      std::vector<int64_t> seeds;
      for (size_t i = 0; i < plan.jobs.size(); ++i) {
        if (plan.jobs[i].arm.name != arm.name || plan.jobs[i].fraction != fraction) continue;
        own.push_back(&results[i]);
        seeds.push_back(plan.jobs[i].seed);
      }
      if (own.empty()) continue;
      analysis.cells.push_back(MakeCell(options, arm.name, fraction, own, seeds));
      analysis.test_patients = static_cast<int64_t>(analysis.cells.back().patients.size());
    }
  }

  const PrimaryComparison primary = ParsePrimary(options.primary);
  std::vector<Comparison> others;
  // Later arms minus earlier ones: what is tried against what is there.
  for (size_t a = 0; a < analysis.cells.size(); ++a) {
    for (size_t b = 0; b < analysis.cells.size(); ++b) {
      const Cell &x = analysis.cells[a], &y = analysis.cells[b];
      if (x.fraction != y.fraction) continue;
      const bool same_pair =
          x.fraction == primary.fraction && ((x.arm == primary.arm_a && y.arm == primary.arm_b) ||
                                             (x.arm == primary.arm_b && y.arm == primary.arm_a));
      if (same_pair && x.arm == primary.arm_a) {
        analysis.comparisons.push_back(Compare(options, x, y, primary.metric));
        analysis.comparisons.back().primary = true;
      } else if (!same_pair && a > b) {
        others.push_back(Compare(options, x, y, primary.metric));
      }
    }
  }
  std::vector<double> p_values;
  for (const Comparison& c : others) p_values.push_back(c.p);
  const std::vector<double> adjusted = core::HolmAdjust(p_values);
  for (size_t i = 0; i < others.size(); ++i) others[i].p_holm = adjusted[i];
  analysis.comparisons.insert(analysis.comparisons.end(), others.begin(), others.end());
  Judge(plan, primary, &analysis);
  return analysis;
}

}  // namespace eosin::segment
