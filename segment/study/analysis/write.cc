// SPDX-License-Identifier: Apache-2.0
// The machine-readable twins of the report: study.json, results.csv, curves.csv, summary.md.
#include <fmt/format.h>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/formats/csv.h"
#include "segment/study/analysis/analysis.h"
#include "segment/train/score_table.h"

namespace eosin::segment {
namespace {

using Json = nlohmann::ordered_json;

Json IntervalJson(const core::Interval& interval) {
  return {{"estimate", interval.estimate}, {"low", interval.low}, {"high", interval.high}};
}

// JSON has no infinity: "never" is null, like n/a.
Json Finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

std::string Number(double value, const char* format = "{:.6f}") {
  return std::isnan(value) ? std::string("n/a") : fmt::format(fmt::runtime(format), value);
}

const char* VerdictName(VerdictKind kind) {
  if (kind == VerdictKind::kShown) return "shown";
  return kind == VerdictKind::kNotShown ? "not shown" : "no verdict";
}

Json ArmsJson(const StudyPlan& plan) {
  Json arms = Json::array();
  for (const Arm& arm : plan.arms) {
    Json entry = {{"name", arm.name},
                  {"label", arm.label},
                  {"init", arm.init},
                  {"freeze", arm.freeze},
                  {"backbone_lr", arm.backbone_lr}};
    if (arm.init != "random" && arm.skipped.empty() && std::filesystem::exists(arm.init)) {
      entry["init_sha256"] = core::Sha256File(arm.init);
    }
    if (!arm.skipped.empty()) entry["skipped"] = arm.skipped;
    arms.push_back(entry);
  }
  return arms;
}

Json CellJson(const Cell& cell) {
  return {{"arm", cell.arm},
          {"level", cell.level.Name()},
          {"labelled_images", cell.labels},
          {"patients", cell.patients},
          {"seeds", cell.seeds},
          {"dice", IntervalJson(cell.dice_interval)},
          {"iou", IntervalJson(cell.iou_interval)},
          {"dice_sd_over_seeds", cell.dice_sd},
          {"micro_dice", cell.micro_dice},
          {"micro_iou", cell.micro_iou},
          {"last_dice", cell.last_dice},
          {"class_dice", cell.class_dice},
          {"class_iou", cell.class_iou},
          {"dice_by_seed_and_patient", cell.dice},
          {"iou_by_seed_and_patient", cell.iou}};
}

Json ComparisonJson(const Comparison& c) {
  const bool exploratory = !c.primary && !c.control;
  return {{"a", c.arm_a},
          {"b", c.arm_b},
          {"level", c.level.Name()},
          {"metric", eval::MetricName(c.metric)},
          {"primary", c.primary},
          {"difference", IntervalJson(c.interval)},
          {"by_seed", c.by_seed},
          {"by_fold", c.by_fold},
          {"difference_over_folds", IntervalJson(c.fold_interval)},
          {"p", c.p},
          {"smallest_possible_p", c.smallest_p},
          {"p_holm", exploratory ? Json(c.p_holm) : Json(nullptr)},
          {"cliffs_delta", c.cliffs_delta},
          {"sd_seed", std::sqrt(c.variance.seed)},
          {"sd_patient", std::sqrt(c.variance.patient)},
          {"sd_cell", std::sqrt(c.variance.cell)},
          {"degrees_of_freedom", Finite(c.variance.degrees)}};
}

Json TransferJson(const Analysis& analysis) {
  Json rows = Json::array();
  for (const TransferRow& row : analysis.transfer) {
    rows.push_back({{"arm", row.arm},
                    {"reference", row.reference},
                    {"level", row.level.Name()},
                    {"seeds", row.seeds},
                    {"seeds_that_reached", row.reached},
                    {"reach", kReach},
                    {"median_steps", Finite(row.steps)},
                    {"median_epochs", Finite(row.epochs)},
                    {"steps_ratio", IntervalJson(row.ratio)},
                    {"area_over_log_steps", row.area},
                    {"area_difference", IntervalJson(row.area_difference)}});
  }
  return rows;
}

Json SavingsJson(const Analysis& analysis) {
  Json rows = Json::array();
  for (const LabelSaving& saving : analysis.savings) {
    rows.push_back({{"arm", saving.arm},
                    {"reference", saving.reference},
                    {"target", saving.target},
                    {"most_labels", saving.most_labels},
                    {"fewest_labels", saving.fewest_labels},
                    {"labels", Finite(saving.labels)},
                    {"low", Finite(saving.low)},
                    {"high", Finite(saving.high)},
                    {"words", SavingWords(saving)}});
  }
  return rows;
}

Json RunsJson(const StudyPlan& plan, const Results& results) {
  static constexpr const char* kRoles[] = {"main", "tuning", "repeat"};
  Json runs = Json::array();
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    Json entry = {{"run", job.name},
                  {"role", kRoles[static_cast<int>(job.role)]},
                  {"arm", job.arm.name},
                  {"level", job.level.Name()},
                  {"fold", job.fold},
                  {"seed", job.seed},
                  {"labelled_images", job.train.size()},
                  {"done", results[i].has_value()}};
    if (results[i]) {
      entry["fingerprint"] = results[i]->fingerprint;
      entry["best_step"] = results[i]->best_step;
      entry["steps"] = results[i]->steps;
    }
    runs.push_back(entry);
  }
  return runs;
}

std::string StudyJson(const StudyOptions& options, const StudyPlan& plan, const Results& results,
                      const Analysis& analysis) {
  Json cells = Json::array(), comparisons = Json::array(), tuned = Json::array(),
       drift = Json::array();
  for (const Cell& cell : analysis.cells) cells.push_back(CellJson(cell));
  for (const Comparison& c : analysis.comparisons) comparisons.push_back(ComparisonJson(c));
  for (const TunedRate& rate : analysis.tuned) {
    tuned.push_back({{"arm", rate.arm},
                     {"fold", rate.fold},
                     {"rates", rate.rates},
                     {"validation_dice", rate.scores},
                     {"chosen", rate.chosen}});
  }
  for (const ArmDrift& arm : analysis.drift) {
    Json stages = Json::object();
    for (const StageChange& stage : arm.stages) stages[stage.stage] = stage.relative;
    drift.push_back({{"arm", arm.arm}, {"level", arm.level.Name()}, {"stages", stages}});
  }
  const Json root = {
      {"format", "eosin-study"},
      {"version", 2},
      {"note", options.note},
      {"complete", analysis.complete()},
      {"runs_done", analysis.jobs_done},
      {"verdict", VerdictName(analysis.verdict)},
      {"sentence", analysis.verdict_sentence},
      {"primary", options.primary},
      {"test_patients", analysis.test_patients},
      {"test_images", analysis.test_images},
      {"classes", options.segment.data.classes},
      {"needed_for_80_percent_power",
       {{"seeds", analysis.needed.seeds > 0 ? Json(analysis.needed.seeds) : Json(nullptr)},
        {"patients", analysis.needed.patients > 0 ? Json(analysis.needed.patients) : Json(nullptr)},
        {fmt::format("patients_at_{}_seeds", core::kMaxNeededSeeds),
         analysis.needed.patients_at_most_seeds > 0 ? Json(analysis.needed.patients_at_most_seeds)
                                                    : Json(nullptr)}}},
      {"noise_floor",
       {{"repeats", analysis.floor.repeats},
        {"identical", analysis.floor.identical},
        {"difference", analysis.floor.difference},
        {"run", analysis.floor.run}}},
      {"constant_prediction",
       analysis.constant.label < 0
           ? Json(nullptr)
           : Json{{"class",
                   options.segment.data.classes[static_cast<size_t>(analysis.constant.label)]},
                  {"score", analysis.constant.score}}},
      {"control", analysis.control ? ComparisonJson(*analysis.control) : Json(nullptr)},
      {"arms", ArmsJson(plan)},
      {"tuning", tuned},
      {"cells", cells},
      {"comparisons", comparisons},
      {"labels_saved", SavingsJson(analysis)},
      {"transfer", TransferJson(analysis)},
      {"weight_drift", drift},
      {"runs", RunsJson(plan, results)}};
  return root.dump(1) + "\n";
}

std::string ResultsCsv(const StudyOptions& options, const StudyPlan& plan, const Results& results) {
  std::string csv =
      core::CsvRow({"run", "arm", "level", "fold", "seed", "labelled_images", "checkpoint",
                    "patient", "class", "dice", "iou", "precision", "recall", "truth_pixels"});
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    if (job.role == JobRole::kTune || !results[i]) continue;
    auto rows = [&](const char* checkpoint, const std::vector<eval::ImageScores>& images) {
      for (const eval::ImageScores& patient : eval::PoolByPatient(images)) {
        for (size_t c = 0; c < options.segment.data.classes.size(); ++c) {
          const eval::ClassScores scores = patient.counts.Scores(static_cast<int>(c));
          csv += core::CsvRow({job.name, job.arm.name, job.level.Name(),
                               fmt::format("{}", job.fold), fmt::format("{}", job.seed),
                               fmt::format("{}", job.train.size()), checkpoint, patient.patient,
                               options.segment.data.classes[c], Number(scores.dice),
                               Number(scores.iou), Number(scores.precision), Number(scores.recall),
                               fmt::format("{}", patient.counts.truth_total(static_cast<int>(c)))});
        }
      }
    };
    rows("best", results[i]->test);
    rows("last", results[i]->test_last);
  }
  return csv;
}

std::string CurvesCsv(const StudyPlan& plan, const Results& results) {
  std::string csv = core::CsvRow({"run", "arm", "level", "fold", "seed", "step", "loss", "lr",
                                  "validation_dice", "validation_iou"});
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    if (!results[i]) continue;
    for (const CurvePoint& point : results[i]->curve) {
      csv += core::CsvRow({job.name, job.arm.name, job.level.Name(), fmt::format("{}", job.fold),
                           fmt::format("{}", job.seed), fmt::format("{}", point.step),
                           Number(point.loss), Number(point.lr, "{:g}"), Number(point.val_dice),
                           Number(point.val_iou)});
    }
  }
  return csv;
}

std::string ScoreTable(const StudyPlan& plan, const Analysis& analysis) {
  std::string text =
      "| arm | labels | images | Dice | 95 % interval | sd over seeds | IoU | Dice, pixels pooled "
      "| Dice, last |\n|---|---|---|---|---|---|---|---|---|\n";
  for (const Cell& cell : analysis.cells) {
    text += fmt::format(
        "| {} | {} | {} | {} | {} to {} | {} | {} | {} | {} |\n", ArmLabel(plan, cell.arm),
        cell.level.Label(), cell.labels, Number(cell.dice_interval.estimate, "{:.3f}"),
        Number(cell.dice_interval.low, "{:.3f}"), Number(cell.dice_interval.high, "{:.3f}"),
        Number(cell.dice_sd, "{:.3f}"), Number(cell.iou_interval.estimate, "{:.3f}"),
        Number(cell.micro_dice, "{:.3f}"), Number(cell.last_dice, "{:.3f}"));
  }
  return text;
}

std::string DifferenceTable(const StudyPlan& plan, const Analysis& analysis) {
  std::string text =
      "| difference | labels | metric | estimate | 95 % interval | p (exact) | p (Holm) | "
      "Cliff's delta |\n|---|---|---|---|---|---|---|---|\n";
  for (const Comparison& c : analysis.comparisons) {
    text += fmt::format("| {} - {}{} | {} | {} | {} | {} to {} | {} | {} | {} |\n",
                        ArmLabel(plan, c.arm_a), ArmLabel(plan, c.arm_b),
                        c.primary ? " (primary)" : "", c.level.Label(), eval::MetricName(c.metric),
                        Number(c.interval.estimate, "{:+.3f}"), Number(c.interval.low, "{:+.3f}"),
                        Number(c.interval.high, "{:+.3f}"), Number(c.p, "{:.3g}"),
                        c.primary ? "-" : Number(c.p_holm, "{:.3g}"),
                        Number(c.cliffs_delta, "{:+.2f}"));
  }
  return text;
}

std::string Summary(const StudyOptions& options, const StudyPlan& plan, const Analysis& analysis) {
  std::string text = "# Study\n\n";
  if (!analysis.complete()) {
    text += fmt::format("**Incomplete: {} of {} models.**\n\n", analysis.jobs_done, analysis.jobs);
  }
  if (!options.note.empty()) text += fmt::format("**Note: {}**\n\n", options.note);
  text += fmt::format("**{}**\n\n", analysis.verdict_sentence);
  text += fmt::format(
      "Scores are per patient (macro over {} test patients, {} images), mean over {} and "
      "{} seed(s), best checkpoint by validation Dice; 95 % intervals by a crossed "
      "bootstrap over patients and seeds, widened to Student's width.\n\n",
      analysis.test_patients, analysis.test_images, MeanOf(options.segment.data.background),
      options.seeds);
  text += ScoreTable(plan, analysis) + "\n" + DifferenceTable(plan, analysis) + "\n";
  text += ScopeSentence(plan, analysis) + "\n\n";
  text += "Noise floor: " + FloorSentence(analysis.floor, ParsePrimary(options.primary).metric) +
          "\n\n";
  const std::string constant = ConstantSentence(options, plan, analysis);
  if (!constant.empty()) text += constant + "\n\n";
  if (analysis.control) text += "A/A control: " + ControlSentence(*analysis.control) + "\n\n";
  for (const LabelSaving& saving : analysis.savings) {
    text += fmt::format("{} reaches {}'s {} with the most labels ({:.3f}) with {}.\n\n",
                        ArmLabel(plan, saving.arm), ArmLabel(plan, saving.reference),
                        eval::MetricName(ParsePrimary(options.primary).metric), saving.target,
                        SavingWords(saving));
  }
  for (const Arm& arm : plan.arms) {
    if (!arm.skipped.empty()) text += fmt::format("Skipped: {}: {}.\n", arm.label, arm.skipped);
  }
  return text;
}

}  // namespace

void WriteAnalysis(const StudyOptions& options, const StudyPlan& plan, const Results& results,
                   const Analysis& analysis, const std::filesystem::path& folder) {
  core::WriteFileAtomic(folder / "study.json", StudyJson(options, plan, results, analysis));
  core::WriteFileAtomic(folder / "results.csv", ResultsCsv(options, plan, results));
  core::WriteFileAtomic(folder / "curves.csv", CurvesCsv(plan, results));
  core::WriteFileAtomic(folder / "summary.md", Summary(options, plan, analysis));
}

}  // namespace eosin::segment
