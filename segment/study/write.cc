// SPDX-License-Identifier: Apache-2.0
// The machine-readable twins of the report: study.json, results.csv, summary.md.
#include <fmt/format.h>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/formats/csv.h"
#include "segment/study/analysis.h"

namespace eosin::segment {
namespace {

using Json = nlohmann::ordered_json;

Json IntervalJson(const core::Interval& interval) {
  return {{"estimate", interval.estimate}, {"low", interval.low}, {"high", interval.high}};
}

std::string Number(double value, const char* format = "{:.6f}") {
  return std::isnan(value) ? std::string("n/a") : fmt::format(fmt::runtime(format), value);
}

const char* VerdictName(VerdictKind kind) {
  if (kind == VerdictKind::kShown) return "shown";
  return kind == VerdictKind::kNotShown ? "not shown" : "no verdict";
}

std::string StudyJson(const StudyOptions& options, const StudyPlan& plan,
                      const std::vector<SegmentResult>& results, const Analysis& analysis) {
  Json arms = Json::array(), cells = Json::array(), comparisons = Json::array(),
       runs = Json::array();
  for (const Arm& arm : plan.arms) {
    Json entry = {{"name", arm.name},
                  {"label", arm.label},
                  {"init", arm.init},
                  {"freeze", arm.freeze},
                  {"backbone_lr", arm.backbone_lr}};
    if (arm.init != "random" && arm.skipped.empty()) {
      entry["init_sha256"] = core::Sha256File(arm.init);
    }
    if (!arm.skipped.empty()) entry["skipped"] = arm.skipped;
    arms.push_back(entry);
  }
  for (const Cell& cell : analysis.cells) {
    cells.push_back({{"arm", cell.arm},
                     {"fraction", cell.fraction},
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
                     {"iou_by_seed_and_patient", cell.iou}});
  }
  for (const Comparison& c : analysis.comparisons) {
    comparisons.push_back({{"a", c.arm_a},
                           {"b", c.arm_b},
                           {"fraction", c.fraction},
                           {"metric", eval::MetricName(c.metric)},
                           {"primary", c.primary},
                           {"difference", IntervalJson(c.interval)},
                           {"by_seed", c.by_seed},
                           {"p", c.p},
                           {"smallest_possible_p", c.smallest_p},
                           {"p_holm", c.primary ? Json(nullptr) : Json(c.p_holm)},
                           {"cliffs_delta", c.cliffs_delta}});
  }
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    runs.push_back({{"run", plan.jobs[i].name},
                    {"fingerprint", results[i].fingerprint},
                    {"labelled_images", plan.jobs[i].train.size()},
                    {"best_step", results[i].best_step},
                    {"steps", results[i].steps}});
  }
  const Json root = {{"format", "eosin-study"},
                     {"version", 1},
                     {"note", options.note},
                     {"verdict", VerdictName(analysis.verdict)},
                     {"sentence", analysis.verdict_sentence},
                     {"primary", options.primary},
                     {"test_patients", analysis.test_patients},
                     {"test_images", analysis.test_images},
                     {"classes", options.segment.data.classes},
                     {"arms", arms},
                     {"cells", cells},
                     {"comparisons", comparisons},
                     {"runs", runs}};
  return root.dump(1) + "\n";
}

std::string ResultsCsv(const StudyOptions& options, const StudyPlan& plan,
                       const std::vector<SegmentResult>& results) {
  std::string csv =
      core::CsvRow({"run", "arm", "fraction", "seed", "labelled_images", "checkpoint", "patient",
                    "class", "dice", "iou", "precision", "recall", "truth_pixels"});
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    const Job& job = plan.jobs[i];
    auto rows = [&](const char* checkpoint, const std::vector<eval::ImageCounts>& images) {
      for (const eval::ImageCounts& patient : eval::PoolByPatient(images)) {
        for (size_t c = 0; c < options.segment.data.classes.size(); ++c) {
          const eval::ClassScores scores = patient.counts.Scores(static_cast<int>(c));
          csv += core::CsvRow({job.name, job.arm.name, fmt::format("{}", job.fraction),
                               fmt::format("{}", job.seed), fmt::format("{}", job.train.size()),
                               checkpoint, patient.patient, options.segment.data.classes[c],
                               Number(scores.dice), Number(scores.iou), Number(scores.precision),
                               Number(scores.recall),
                               fmt::format("{}", patient.counts.truth_total(static_cast<int>(c)))});
        }
      }
    };
    rows("best", results[i].test);
    rows("last", results[i].test_last);
  }
  return csv;
}

std::string Summary(const StudyOptions& options, const StudyPlan& plan, const Analysis& analysis) {
  std::string text = "# Study\n\n";
  if (!options.note.empty()) text += fmt::format("**Note: {}**\n\n", options.note);
  text += fmt::format("**{}**\n\n", analysis.verdict_sentence);
  text += fmt::format(
      "Scores are per patient (macro over {} test patients, {} images), mean over foreground "
      "classes "
      "and {} seed(s), best checkpoint by validation; 95 % intervals by a crossed bootstrap over "
      "patients and seeds.\n\n",
      analysis.test_patients, analysis.test_images, options.seeds);
  text +=
      "| arm | labels | Dice | 95 % interval | sd over seeds | IoU | Dice, pixels pooled | Dice, "
      "last |\n";
  text += "|---|---|---|---|---|---|---|---|\n";
  auto label = [&](const std::string& name) {
    for (const Arm& arm : plan.arms) {
      if (arm.name == name) return arm.label;
    }
    return name;
  };
  for (const Cell& cell : analysis.cells) {
    text += fmt::format("| {} | {:g} % | {} | {} to {} | {} | {} | {} | {} |\n", label(cell.arm),
                        100 * cell.fraction, Number(cell.dice_interval.estimate, "{:.3f}"),
                        Number(cell.dice_interval.low, "{:.3f}"),
                        Number(cell.dice_interval.high, "{:.3f}"), Number(cell.dice_sd, "{:.3f}"),
                        Number(cell.iou_interval.estimate, "{:.3f}"),
                        Number(cell.micro_dice, "{:.3f}"), Number(cell.last_dice, "{:.3f}"));
  }
  text +=
      "\n| difference | labels | metric | estimate | 95 % interval | p (exact) | p (Holm) | "
      "Cliff's delta |\n";
  text += "|---|---|---|---|---|---|---|---|\n";
  for (const Comparison& c : analysis.comparisons) {
    text += fmt::format(
        "| {} - {}{} | {:g} % | {} | {} | {} to {} | {} | {} | {} |\n", label(c.arm_a),
        label(c.arm_b), c.primary ? " (primary)" : "", 100 * c.fraction, eval::MetricName(c.metric),
        Number(c.interval.estimate, "{:+.3f}"), Number(c.interval.low, "{:+.3f}"),
        Number(c.interval.high, "{:+.3f}"), Number(c.p, "{:.3g}"),
        c.primary ? "-" : Number(c.p_holm, "{:.3g}"), Number(c.cliffs_delta, "{:+.2f}"));
  }
  for (const Arm& arm : plan.arms) {
    if (!arm.skipped.empty()) text += fmt::format("\nSkipped: {}: {}.\n", arm.label, arm.skipped);
  }
  return text;
}

}  // namespace

void WriteAnalysis(const StudyOptions& options, const StudyPlan& plan,
                   const std::vector<SegmentResult>& results, const Analysis& analysis,
                   const std::filesystem::path& folder) {
  core::WriteFileAtomic(folder / "study.json", StudyJson(options, plan, results, analysis));
  core::WriteFileAtomic(folder / "results.csv", ResultsCsv(options, plan, results));
  core::WriteFileAtomic(folder / "summary.md", Summary(options, plan, analysis));
}

}  // namespace eosin::segment
