// SPDX-License-Identifier: Apache-2.0
// The verdict in one sentence.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "segment/study/analysis/analysis.h"

namespace eosin::segment {
namespace {

constexpr double kPower = 0.8;

const Arm* FindArm(const StudyPlan& plan, const std::string& name) {
  const auto arm = std::find_if(plan.arms.begin(), plan.arms.end(),
                                [&](const Arm& a) { return a.name == name; });
  return arm == plan.arms.end() ? nullptr : &*arm;
}

// "To show a difference of this size ... would take about 14 seeds or 25 patients."
std::string NeededSentence(const core::NeededSize& needed, const Comparison& c) {
  const size_t seeds = std::max<size_t>(c.by_seed.size(), core::kSeedsForVerdict);
  std::vector<std::string> ways, not_enough;
  if (needed.seeds > 0) {
    ways.push_back(fmt::format("about {} seeds on these patients", needed.seeds));
  } else {
    not_enough.push_back(fmt::format("{} seeds on these patients", core::kMaxNeededSeeds));
  }
  if (needed.patients > 0) {
    ways.push_back(fmt::format("about {} patients with {} seeds", needed.patients, seeds));
  } else {
    not_enough.push_back(fmt::format("{} patients with {} seeds", core::kMaxNeededPatients, seeds));
  }
  if (ways.empty() && needed.patients_at_most_seeds > 0) {
    ways.push_back(fmt::format("about {} patients with {} seeds", needed.patients_at_most_seeds,
                               core::kMaxNeededSeeds));
  }
  if (ways.empty()) {
    return fmt::format(
        " A difference as small as this one would not be shown with {:.0f} % power by {} seeds and "
        "{} patients either.",
        100 * kPower, core::kMaxNeededSeeds, core::kMaxNeededPatients);
  }
  std::string sentence =
      fmt::format(" To show a difference of this size with {:.0f} % power would take {}",
                  100 * kPower, fmt::join(ways, ", or "));
  if (!not_enough.empty()) {
    sentence += fmt::format("; {} would not do", fmt::join(not_enough, " or "));
  }
  return sentence + ".";
}

// What must be said when neither arm has learnt to segment.
std::string WeakSentence(const StudyOptions& options, const Comparison& c,
                         const Analysis& analysis) {
  if (analysis.constant.label < 0) return "";
  for (const Cell& cell : analysis.cells) {
    if (cell.level != c.level || (cell.arm != c.arm_a && cell.arm != c.arm_b)) continue;
    if (cell.interval(c.metric).estimate > analysis.constant.score) return "";
  }
  return fmt::format(
      " But neither arm is better than calling every pixel {} ({:.3f}): at this budget they have "
      "not learnt to segment.",
      options.segment.data.classes[static_cast<size_t>(analysis.constant.label)],
      analysis.constant.score);
}

}  // namespace

std::string ArmLabel(const StudyPlan& plan, const std::string& name) {
  const Arm* arm = FindArm(plan, name);
  return arm ? arm->label : name;
}

void JudgeStudy(const StudyOptions& options, const StudyPlan& plan,
                const PrimaryComparison& primary, Analysis* analysis) {
  analysis->verdict = VerdictKind::kNoVerdict;
  for (const std::string& name : {primary.arm_a, primary.arm_b}) {
    const Arm* arm = FindArm(plan, name);
    if (!arm || arm->skipped.empty()) continue;
    analysis->verdict_sentence =
        fmt::format("No verdict: the primary comparison needs the arm {}, which was skipped ({}).",
                    arm->label, arm->skipped);
    return;
  }
  const std::string progress =
      fmt::format("{} of {} models are trained", analysis->jobs_done, analysis->jobs);
  if (analysis->comparisons.empty() || !analysis->comparisons.front().primary) {
    analysis->verdict_sentence = fmt::format("No verdict yet: {}.", progress);
    return;
  }
  const Comparison& c = analysis->comparisons.front();
  const std::string metric = c.metric == eval::Metric::kDice ? "Dice" : "IoU";
  const std::string interval =  // one patient has none
      std::isnan(c.interval.low)
          ? "95 % interval not known"
          : fmt::format("95 % interval {:+.3f} to {:+.3f}", c.interval.low, c.interval.high);
  const std::string difference =
      fmt::format("{} minus {} = {:+.3f} {} ({}) with {}", ArmLabel(plan, c.arm_a),
                  ArmLabel(plan, c.arm_b), c.interval.estimate, metric, interval, c.level.Label());
  const std::string patients = fmt::format("on these {} patient{}", analysis->test_patients,
                                           analysis->test_patients == 1 ? "" : "s");
  const size_t seeds = c.by_seed.size();
  if (!analysis->complete()) {
    analysis->verdict_sentence =
        fmt::format("No verdict yet: {}. So far {}, {} and {} seed{}.", progress, difference,
                    patients, seeds, seeds == 1 ? "" : "s");
    return;
  }
  const bool measured = analysis->floor.repeats > 0;
  core::Evidence evidence{c.interval, {}, measured ? analysis->floor.difference : std::nan("")};
  evidence.test.p = c.p;
  evidence.test.n = static_cast<int>(
      std::count_if(c.by_seed.begin(), c.by_seed.end(), [](double d) { return !std::isnan(d); }));
  switch (core::Judge(evidence)) {
    case core::Claim::kNoVerdict:
      analysis->verdict_sentence =
          std::isnan(c.interval.estimate)
              ? "No verdict: no foreground class was seen in the test images or predicted by "
                "either arm."
              : fmt::format(
                    "No verdict: {} seed{} cannot reach p < .05 (the smallest possible p "
                    "is {:.3g}). Observed {}: {}.",
                    seeds, seeds == 1 ? "" : "s", c.smallest_p, patients, difference);
      return;
    case core::Claim::kShown: {
      analysis->verdict = VerdictKind::kShown;
      const bool positive = c.interval.estimate > 0;
      analysis->verdict_sentence = fmt::format(
          "{} is better than {}: {}, {} (exact sign-flip over {} seeds, p = {:.3g}).",
          ArmLabel(plan, positive ? c.arm_a : c.arm_b),
          ArmLabel(plan, positive ? c.arm_b : c.arm_a), difference, patients, seeds, c.p);
      analysis->verdict_sentence += WeakSentence(options, c, *analysis);
      return;
    }
    case core::Claim::kNotShown:
      analysis->verdict = VerdictKind::kNotShown;
      analysis->verdict_sentence =
          fmt::format("Not shown: {}, {} (exact sign-flip over {} seeds, p = {:.3g}).", difference,
                      patients, seeds, c.p);
      analysis->verdict_sentence += WeakSentence(options, c, *analysis);
      if (c.p < 0.05 && c.interval.Excludes(0)) {
        analysis->verdict_sentence +=
            measured ? fmt::format(" The difference is no larger than the noise floor, {:.4f}.",
                                   analysis->floor.difference)
                     : " The noise floor was not measured: study.repeats = 1 does.";
        return;
      }
      if (c.variance.patients < 2 || c.variance.seeds < 2) return;
      analysis->needed =
          core::SizeForPower(c.variance, c.interval.estimate, kPower, core::kSeedsForVerdict);
      analysis->verdict_sentence += NeededSentence(analysis->needed, c);
      return;
  }
}

}  // namespace eosin::segment
