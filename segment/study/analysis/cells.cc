// SPDX-License-Identifier: Apache-2.0
// Tables of seeds x patients from the pixel counts of the runs.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/stats/crossed.h"
#include "core/stats/summary.h"
#include "segment/study/analysis/analysis.h"

namespace eosin::segment {
namespace {

using eval::Metric;

// The test images of one arm, level and seed, of all folds.
struct SeedRun {
  std::vector<eval::ImageScores> best, last;
  std::map<std::string, int64_t> fold_of;  // patient -> who tests it
  size_t folds = 0;
};
using Runs = std::map<int64_t, SeedRun>;  // by seed

Runs RunsOf(const StudyPlan& plan, const Results& results, const std::string& arm,
            const LabelLevel& level) {
  Runs runs;
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    if (job.role != JobRole::kMain || job.arm.name != arm || job.level != level || !results[i]) {
      continue;
    }
    SeedRun& run = runs[job.seed];
    ++run.folds;
    for (const auto& image : results[i]->test) run.fold_of[image.patient] = job.fold;
    run.best.insert(run.best.end(), results[i]->test.begin(), results[i]->test.end());
    run.last.insert(run.last.end(), results[i]->test_last.begin(), results[i]->test_last.end());
  }
  std::erase_if(runs, [&](const auto& entry) { return entry.second.folds < plan.splits.size(); });
  return runs;
}

core::Interval ScoreInterval(const core::SeedPatientTable& scores,
                             const core::BootstrapOptions& bootstrap) {
  return core::StudentInterval(scores, {}, bootstrap).Within(0, 1);
}

Cell MakeCell(const StudyOptions& options, const std::string& arm, const Runs& runs,
              const std::vector<int64_t>& seeds) {
  const int skip = static_cast<int>(options.segment.data.background);
  const int classes = static_cast<int>(options.segment.data.classes.size());
  Cell cell;
  cell.arm = arm;
  cell.seeds = seeds;
  std::vector<std::vector<double>> class_dice(static_cast<size_t>(classes));
  std::vector<std::vector<double>> class_iou = class_dice;
  std::vector<double> micro_dice, micro_iou, last_dice;
  for (const int64_t seed : seeds) {
    const SeedRun& run = runs.at(seed);
    const auto patients = eval::PoolByPatient(run.best);
    std::vector<std::string> names;
    std::vector<double> dice, iou;
    for (const eval::ImageScores& patient : patients) {
      names.push_back(patient.patient);
      dice.push_back(patient.counts.MeanScore(Metric::kDice, skip));
      iou.push_back(patient.counts.MeanScore(Metric::kIou, skip));
    }
    if (!cell.patients.empty() && cell.patients != names) {
      throw core::DataError(fmt::format("the runs of {} were scored on different patients", arm),
                            "use one split for the whole study: delete runs/ and start again");
    }
    cell.patients = names;
    cell.folds.clear();
    for (const std::string& name : names) cell.folds.push_back(run.fold_of.at(name));
    cell.dice.push_back(dice);
    cell.iou.push_back(iou);
    for (int c = 0; c < classes; ++c) {
      class_dice[static_cast<size_t>(c)].push_back(eval::MacroScore(patients, Metric::kDice, c));
      class_iou[static_cast<size_t>(c)].push_back(eval::MacroScore(patients, Metric::kIou, c));
    }
    const eval::ConfusionMatrix pooled = eval::PoolAll(run.best, classes);
    micro_dice.push_back(pooled.MeanScore(Metric::kDice, skip));
    micro_iou.push_back(pooled.MeanScore(Metric::kIou, skip));
    last_dice.push_back(eval::MacroScore(eval::PoolByPatient(run.last), Metric::kDice, -1, skip));
  }
  for (int c = 0; c < classes; ++c) {
    cell.class_dice.push_back(core::Mean(class_dice[static_cast<size_t>(c)]));
    cell.class_iou.push_back(core::Mean(class_iou[static_cast<size_t>(c)]));
  }
  const core::BootstrapOptions bootstrap{.draws = static_cast<int>(options.bootstrap_draws)};
  cell.dice_interval = ScoreInterval(cell.dice, bootstrap);
  cell.iou_interval = ScoreInterval(cell.iou, bootstrap);
  cell.dice_sd = core::StandardDeviation(core::RowMeans(cell.dice, {}));
  cell.micro_dice = core::Mean(micro_dice);
  cell.micro_iou = core::Mean(micro_iou);
  cell.last_dice = core::Mean(last_dice);
  return cell;
}

}  // namespace

std::vector<Cell> MakeCells(const StudyOptions& options, const StudyPlan& plan,
                            const Results& results) {
  std::vector<Cell> cells;
  const LabelLevel primary = ParsePrimary(options.primary).level;
  for (const LabelLevel& level : plan.levels) {
    std::vector<std::pair<std::string, Runs>> by_arm;
    for (const Arm& arm : plan.arms) {
      if (!arm.skipped.empty() || (arm.control() && level != primary)) continue;
      by_arm.emplace_back(arm.name, RunsOf(plan, results, arm.name, level));
    }
    std::vector<int64_t> seeds;  // finished by every arm: partial studies stay paired
    for (int64_t seed = 0; seed < options.seeds; ++seed) {
      if (std::all_of(by_arm.begin(), by_arm.end(),
                      [&](const auto& arm) { return arm.second.contains(seed); })) {
        seeds.push_back(seed);
      }
    }
    if (seeds.empty()) continue;
    for (const auto& [arm, runs] : by_arm) {
      cells.push_back(MakeCell(options, arm, runs, seeds));
      cells.back().level = level;
      cells.back().labels = LabelledImages(plan, level);
    }
  }
  return cells;
}

}  // namespace eosin::segment
