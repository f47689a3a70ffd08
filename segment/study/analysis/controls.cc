// SPDX-License-Identifier: Apache-2.0
// What stands beside the comparisons: noise floor, A/A control, weight drift.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/stats/summary.h"
#include "segment/study/analysis/analysis.h"

namespace eosin::segment {
namespace {

bool SameCounts(const std::vector<eval::ImageScores>& a, const std::vector<eval::ImageScores>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].name != b[i].name || a[i].counts.classes() != b[i].counts.classes()) return false;
    for (int t = 0; t < a[i].counts.classes(); ++t) {
      for (int p = 0; p < a[i].counts.classes(); ++p) {
        if (a[i].counts.count(t, p) != b[i].counts.count(t, p)) return false;
      }
    }
  }
  return true;
}

std::string Interval(const core::Interval& interval) {
  return std::isnan(interval.low) ? std::string("not known")
                                  : fmt::format("{:+.3f} to {:+.3f}", interval.low, interval.high);
}

}  // namespace

NoiseFloor MeasureFloor(const StudyOptions& options, const StudyPlan& plan, const Results& results,
                        eval::Metric metric) {
  NoiseFloor floor;
  const int skip = static_cast<int>(options.segment.data.background);
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    if (job.role != JobRole::kRepeat || !results[i]) continue;
    for (size_t k = 0; k < plan.jobs.size(); ++k) {
      const Job& twin = plan.jobs[k];
      if (twin.role != JobRole::kMain || twin.arm.name != job.arm.name || twin.level != job.level ||
          twin.seed != job.seed || twin.fold != job.fold || !results[k]) {
        continue;
      }
      const auto& a = results[i]->test;
      const auto& b = results[k]->test;
      floor.identical = (floor.repeats == 0 || floor.identical) && SameCounts(a, b);
      const double difference = eval::MacroScore(eval::PoolByPatient(a), metric, -1, skip) -
                                eval::MacroScore(eval::PoolByPatient(b), metric, -1, skip);
      if (!std::isnan(difference)) {
        floor.difference = std::max(floor.difference, std::fabs(difference));
      }
      floor.run = twin.name;
      ++floor.repeats;
    }
  }
  return floor;
}

ConstantScore ScoreConstant(const StudyOptions& options, const StudyPlan& plan,
                            const Results& results, eval::Metric metric) {
  // The truth is the same in every model's result: one a fold is enough.
  std::set<int64_t> folds;
  std::vector<eval::ImageScores> images;
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    if (job.role != JobRole::kMain || !results[i] || !folds.insert(job.fold).second) continue;
    images.insert(images.end(), results[i]->test.begin(), results[i]->test.end());
  }
  ConstantScore best;
  if (folds.size() < plan.splits.size()) return best;
  const std::vector<eval::ImageScores> truth = eval::PoolByPatient(images);
  const int classes = static_cast<int>(options.segment.data.classes.size());
  for (int label = 0; label < classes; ++label) {
    std::vector<double> scores;  // of patients
    for (const eval::ImageScores& patient : truth) {
      eval::ConfusionMatrix counts(classes);
      for (int t = 0; t < classes; ++t) counts.AddCount(t, label, patient.counts.truth_total(t));
      scores.push_back(counts.MeanScore(metric, static_cast<int>(options.segment.data.background)));
    }
    const double score = core::Mean(scores);
    if (std::isnan(score) || (best.label >= 0 && score <= best.score)) continue;
    best = {label, score};
  }
  return best;
}

std::vector<ArmDrift> CollectDrift(const StudyPlan& plan, const Results& results) {
  std::vector<ArmDrift> all;
  for (const LabelLevel& level : plan.levels) {
    for (const Arm& arm : plan.arms) {
      std::vector<std::string> order;
      std::map<std::string, std::vector<double>> by_stage;
      for (size_t i = 0; i < plan.jobs.size(); ++i) {
        const Job& job = plan.jobs[i];
        if (job.role != JobRole::kMain || job.arm.name != arm.name || job.level != level ||
            !results[i]) {
          continue;
        }
        for (const StageChange& change : results[i]->drift) {
          if (!by_stage.contains(change.stage)) order.push_back(change.stage);
          by_stage[change.stage].push_back(change.relative);
        }
      }
      if (order.empty()) continue;
      all.push_back({arm.name, level, {}});
      for (const std::string& stage : order) {
        all.back().stages.push_back({stage, core::Mean(by_stage[stage])});
      }
    }
  }
  return all;
}

std::string FloorSentence(const NoiseFloor& floor, eval::Metric metric) {
  if (floor.repeats == 0)
    return "Not measured: study.repeats is 0, or its models are not done yet.";
  if (floor.identical) {
    return fmt::format(
        "{} trained again with the same seed gave the same counts in every test "
        "image ({} repeat{}): the noise floor is 0.",
        floor.run, floor.repeats, floor.repeats == 1 ? "" : "s");
  }
  return fmt::format(
      "{} trained again with the same seed differed by up to {:.4f} {} ({} "
      "repeat{}): smaller differences are noise of the machine.",
      floor.run, floor.difference, metric == eval::Metric::kIou ? "IoU" : "Dice", floor.repeats,
      floor.repeats == 1 ? "" : "s");
}

std::string ConstantSentence(const StudyOptions& options, const StudyPlan& plan,
                             const Analysis& analysis) {
  if (analysis.constant.label < 0) return "";
  const eval::Metric metric = ParsePrimary(options.primary).metric;
  std::vector<std::string> below;
  for (const Cell& cell : analysis.cells) {
    if (cell.arm == kControlArm || cell.interval(metric).estimate > analysis.constant.score)
      continue;
    below.push_back(fmt::format("{} with {}", ArmLabel(plan, cell.arm), cell.level.Label()));
  }
  const auto& name = options.segment.data.classes[static_cast<size_t>(analysis.constant.label)];
  return fmt::format(
      "Calling every pixel {} would score {:.3f} {}; {}.", name, analysis.constant.score,
      metric == eval::Metric::kIou ? "IoU" : "Dice",
      below.empty() ? "all arms lie above" : fmt::format("no better: {}", fmt::join(below, ", ")));
}

std::string ScopeSentence(const StudyPlan& plan, const Analysis& analysis) {
  const bool folds = plan.splits.size() > 1;
  const bool one_seed =
      !analysis.comparisons.empty() && analysis.comparisons.front().by_seed.size() == 1;
  std::string text = fmt::format(
      "Seeds vary label subset, head, order and augmentation; {}. The intervals reach to other "
      "patients{}, with {}; another pretraining may differ.",
      folds ? "each fold has one training set and one encoder an arm"
            : "there is one training set and one encoder an arm",
      one_seed ? ", but not to other seeds" : " and seeds",
      folds ? "the training sets and encoders of these folds" : "this training set and encoder");
  if (!folds || analysis.comparisons.empty() || !analysis.comparisons.front().primary) return text;
  const Comparison& c = analysis.comparisons.front();
  std::vector<std::string> each;
  for (const double fold : c.by_fold) each.push_back(fmt::format("{:+.3f}", fold));
  return text +
         fmt::format(
             " The primary difference by fold: {}; taken as a sample of {} training sets and "
             "encoders, all of equal weight, {:+.3f} with a 95 % interval {}. Folds share training "
             "patients, which none of the "
             "intervals can show (Bengio and Grandvalet, JMLR 5 (2004)).",
             fmt::join(each, ", "), c.by_fold.size(), c.fold_interval.estimate,
             Interval(c.fold_interval));
}

std::string ControlSentence(const Comparison& control) {
  const std::string numbers =
      fmt::format("{:+.3f}, 95 % interval {}, p = {:.3g}", control.interval.estimate,
                  Interval(control.interval), control.p);
  if (control.by_seed.size() < core::kSeedsForVerdict) {
    return fmt::format("random against random with other heads: too few seeds to tell ({}).",
                       numbers);
  }
  const bool differs = control.p < 0.05 && control.interval.Excludes(0);
  return fmt::format(
      "random against random with other heads: {} ({}).{}",
      differs ? "a difference" : "no difference", numbers,
      differs ? " One control in twenty or so does so by chance; if others do too, the seeds are "
                "not exchangeable and no verdict of this study should be believed."
              : "");
}

}  // namespace eosin::segment
