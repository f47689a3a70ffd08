// SPDX-License-Identifier: Apache-2.0
#include "segment/study/report/report.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/formats/csv.h"
#include "core/report/svg.h"
#include "core/stats/summary.h"
#include "segment/study/report/report_parts.h"
#include "segment/train/score_table.h"

namespace eosin::segment {
namespace {

std::string Hash(const std::filesystem::path& path) {
  return fs::exists(path) ? "sha256 " + core::Sha256File(path).substr(0, 16) : "not written";
}

void AddArms(const ReportInput& in, core::HtmlPage* page) {
  std::vector<std::vector<std::string>> arms;
  for (const Arm& arm : in.plan.arms) {
    arms.push_back(
        {arm.label,
         arm.init == "random" ? "random" : std::filesystem::path(arm.init).filename().string(),
         arm.freeze == "none" ? "nothing" : "up to " + arm.freeze,
         fmt::format("x {:g}", arm.backbone_lr),
         !arm.skipped.empty() ? "skipped: " + arm.skipped
         : arm.control()      ? "control: other heads, at " + in.primary.level.Label()
                              : "ran"});
  }
  page->AddTable({"arm", "backbone from", "frozen", "backbone rate", "state"}, arms,
                 {.caption = "The arms", .sortable = false});
}

void AddCallouts(const ReportInput& in, core::HtmlPage* page) {
  const Analysis& analysis = in.analysis;
  if (!analysis.complete()) {
    page->AddCallout(core::Verdict::kUnsure, "Incomplete",
                     fmt::format("{} of {} models are trained; this page is written anew as others "
                                 "finish. Numbers below are of the seeds that are complete.",
                                 analysis.jobs_done, analysis.jobs));
  }
  const core::Verdict kind = analysis.verdict == VerdictKind::kShown      ? core::Verdict::kGood
                             : analysis.verdict == VerdictKind::kNotShown ? core::Verdict::kUnsure
                                                                          : core::Verdict::kNeutral;
  page->AddCallout(kind, "Verdict", analysis.verdict_sentence);
  if (!in.options.note.empty()) {
    page->AddCallout(core::Verdict::kUnsure, "Note", in.options.note);
  }
  std::vector<std::string> skipped;
  for (const Arm& arm : in.plan.arms) {
    if (!arm.skipped.empty()) skipped.push_back(fmt::format("**{}**: {}", arm.label, arm.skipped));
  }
  if (!skipped.empty()) {
    page->AddCallout(core::Verdict::kUnsure, "Skipped",
                     fmt::format("{}", fmt::join(skipped, "; ")));
  }
}

void AddFacts(const ReportInput& in, core::HtmlPage* page) {
  const SegmentOptions& s = in.options.segment;
  const bool same = in.options.steps == "same";
  std::vector<std::pair<std::string, std::string>> facts = {
      {"primary comparison", in.options.primary},
      {"network", fmt::format("{}, {}, output stride {}, ASPP rates {}, head {} channels", s.head,
                              s.arch, s.output_stride, fmt::join(s.Rates(), "/"), s.head_channels)},
      {"budget of each model",
       fmt::format("{} steps of {} crops of {} px, {} rate {}, poly {:g}; {}", s.steps, s.batch,
                   s.crop, s.optimizer.name,
                   in.options.tune.empty() ? fmt::format("{:g}", s.optimizer.lr) : "tuned by arm",
                   s.poly_power,
                   same ? "the same for every arm and level"
                        : "fewer steps with fewer labels, alike in every arm")},
      {"seeds", fmt::format("{} (label subset, head, order, augmentation; the same in every arm)",
                            in.options.seeds)},
      {"folds", in.plan.splits.size() > 1 ? fmt::format("{}", in.plan.splits.size())
                                          : std::string("none: one split")},
      {"config.toml", Hash(in.folder / "config.toml")}};
  for (size_t fold = 0; fold < in.plan.splits.size(); ++fold) {
    const std::string name =
        in.plan.splits.size() > 1 ? fmt::format("fold{}/split.json", fold) : "split.json";
    facts.emplace_back(name, Hash(in.folder / name));
  }
  for (const auto& fact : in.extras.facts) facts.push_back(fact);
  page->AddFacts(facts);
}

void AddTiles(const ReportInput& in, core::HtmlPage* page) {
  if (in.extras.tiles.empty() && in.extras.slides.empty()) return;
  page->AddHeading("Tiles");
  if (!in.extras.slides.empty()) {
    std::vector<std::string> labels;
    core::GalleryRow row;
    for (const auto& [name, bytes] : in.extras.slides) {
      labels.push_back(name);
      row.images.push_back({bytes, ""});
      if (row.images.size() == 4) {
        page->AddGallery(labels, {row});
        labels.clear();
        row.images.clear();
      }
    }
    if (!labels.empty()) page->AddGallery(labels, {row});
  }
  if (!in.extras.tiles.empty()) {
    page->AddTileWall(
        in.extras.tiles,
        fmt::format("{} tiles of the pretraining data, evenly spaced", in.extras.tiles.size()));
  }
}

void AddPretraining(const ReportInput& in, core::HtmlPage* page) {
  const auto path = in.extras.pretrain_run / "metrics.csv";
  if (in.extras.pretrain_run.empty() || !fs::exists(path)) return;
  page->AddHeading("Pretraining");
  const core::CsvTable table = core::ReadCsv(path);
  const int step = table.Column("step");
  for (size_t column = 0; column < table.header.size(); ++column) {
    static const std::set<std::string> kLeftOut = {
        "step", "epoch", "lr", "images_per_second", "data_wait", "grad_norm", "epoch_loss"};
    const std::string& name = table.header[column];
    if (step < 0 || kLeftOut.contains(name)) continue;
    core::Series series;
    for (const auto& row : table.rows) {
      if (row[column].empty()) continue;
      series.x.push_back(std::strtod(row[static_cast<size_t>(step)].c_str(), nullptr));
      series.y.push_back(std::strtod(row[column].c_str(), nullptr));
    }
    if (series.x.size() < 2) continue;
    core::LineChart chart{
        .title = name, .x_title = "step", .y_title = name, .series = {series}, .height = 240};
    page->AddFigure(chart.Svg(), fmt::format("{} of the pretraining on the train patients' tiles{}",
                                             name, in.plan.splits.size() > 1 ? " of fold 0" : ""));
  }
}

void AddLearningCurves(const ReportInput& in, core::HtmlPage* page) {
  page->AddHeading("Learning curves");
  for (const LabelLevel& level : in.plan.levels) {
    core::LineChart chart{
        .title = level.Label(), .x_title = "step", .y_title = "validation Dice", .log_x = true};
    for (const Arm* arm : in.RunningArms()) {
      std::map<int64_t, std::vector<double>> by_step;
      for (size_t i = 0; i < in.plan.jobs.size(); ++i) {
        const Job& job = in.plan.jobs[i];
        if (job.role != JobRole::kMain || job.arm.name != arm->name || job.level != level ||
            !in.results[i]) {
          continue;
        }
        for (const CurvePoint& point : in.results[i]->curve) {
          if (!std::isnan(point.val_dice)) by_step[point.step].push_back(point.val_dice);
        }
      }
      core::Series series{.name = arm->label, .color = in.ColorOf(arm->name)};
      for (const auto& [step, values] : by_step) {
        series.x.push_back(static_cast<double>(step));
        series.y.push_back(core::Mean(values));
        series.low.push_back(*std::min_element(values.begin(), values.end()));
        series.high.push_back(*std::max_element(values.begin(), values.end()));
      }
      chart.series.push_back(std::move(series));
    }
    page->AddFigure(chart.Svg(), in.plan.splits.size() > 1
                                     ? "Mean over finished models; the band spans seeds and folds"
                                     : "Mean over finished models; the band spans the seeds");
  }
  AddTransfer(in, page);
}

void AddLabelCurve(const ReportInput& in, core::HtmlPage* page) {
  if (in.plan.levels.size() < 2) return;
  page->AddHeading("How many labels");
  core::LineChart chart{.title = "Test Dice by labelled images",
                        .x_title = "training images with labels",
                        .y_title = "Dice",
                        .log_x = true,
                        .markers = true};
  for (const LabelLevel& level : in.plan.levels) {
    chart.x_ticks.push_back(static_cast<double>(LabelledImages(in.plan, level)));
  }
  for (const Arm* arm : in.RunningArms()) {
    core::Series series{.name = arm->label, .color = in.ColorOf(arm->name)};
    for (const LabelLevel& level : in.plan.levels) {
      const Cell* cell = in.CellOf(arm->name, level);
      if (!cell) continue;
      series.x.push_back(static_cast<double>(cell->labels));
      series.y.push_back(cell->dice_interval.estimate);
      series.low.push_back(cell->dice_interval.low);
      series.high.push_back(cell->dice_interval.high);
    }
    chart.series.push_back(std::move(series));
  }
  page->AddFigure(
      chart.Svg(),
      "Mean over patients and seeds; bands: 95 % intervals of each arm by itself. Whether two arms "
      "differ is told by the paired differences below, not by whether the bands overlap.");
  std::vector<std::string> items;
  for (const LabelSaving& saving : in.analysis.savings) {
    items.push_back(fmt::format("**{}** reaches {}'s {} with the most labels ({:.3f}) with {}",
                                ArmLabel(in.plan, saving.arm), ArmLabel(in.plan, saving.reference),
                                eval::MetricName(in.primary.metric), saving.target,
                                SavingWords(saving)));
  }
  if (!items.empty()) page->AddList(items);
}

void AddScores(const ReportInput& in, core::HtmlPage* page) {
  page->AddHeading("Scores");
  std::vector<std::string> headers = {"labels", "class", "metric"};
  for (const Arm* arm : in.RunningArms()) headers.push_back(arm->label);
  std::vector<std::vector<std::string>> rows;
  const auto& classes = in.options.segment.data.classes;
  for (const LabelLevel& level : in.plan.levels) {
    auto add = [&](const std::string& name, const std::string& metric, auto value) {
      std::vector<std::string> row = {level.Label(), name, metric};
      for (const Arm* arm : in.RunningArms()) {
        const Cell* cell = in.CellOf(arm->name, level);
        row.push_back(cell ? value(*cell) : std::string("n/a"));
      }
      rows.push_back(std::move(row));
    };
    auto with_interval = [](const core::Interval& i) {
      return fmt::format("{} [{}, {}]", ReportNumber(i.estimate), ReportNumber(i.low),
                         ReportNumber(i.high));
    };
    const std::string mean = "mean of " + MeanOf(in.options.segment.data.background);
    add(mean, "Dice", [&](const Cell& c) { return with_interval(c.dice_interval); });
    add(mean, "IoU", [&](const Cell& c) { return with_interval(c.iou_interval); });
    add(mean, "Dice, sd over seeds", [](const Cell& c) { return ReportNumber(c.dice_sd); });
    add(mean, "Dice, all pixels pooled", [](const Cell& c) { return ReportNumber(c.micro_dice); });
    add(mean, "Dice, last state", [](const Cell& c) { return ReportNumber(c.last_dice); });
    for (size_t k = 0; k < classes.size(); ++k) {
      add(classes[k], "Dice", [&](const Cell& c) { return ReportNumber(c.class_dice[k]); });
      add(classes[k], "IoU", [&](const Cell& c) { return ReportNumber(c.class_iou[k]); });
    }
  }
  page->AddTable(
      headers, rows,
      {.caption = "Test scores: pixels pooled inside a patient, mean over patients and "
                  "seeds, best state by validation; [95 % interval]. A class absent from "
                  "truth and prediction is n/a."});
}

void AddDifferences(const ReportInput& in, core::HtmlPage* page) {
  if (in.analysis.comparisons.empty()) return;
  page->AddHeading("Paired differences");
  core::ForestPlot plot{.title = "Differences, the same patients and seeds",
                        .x_title = in.primary.metric == eval::Metric::kDice ? "difference of Dice"
                                                                            : "difference of IoU"};
  std::vector<std::vector<std::string>> rows;
  auto add = [&](const Comparison& c, const char* role) {
    const std::string label = fmt::format("{} - {}, {}", ArmLabel(in.plan, c.arm_a),
                                          ArmLabel(in.plan, c.arm_b), c.level.Label());
    plot.rows.push_back(
        {label, c.interval.estimate, c.interval.low, c.interval.high, "", c.primary});
    rows.push_back({label, role, ReportNumber(c.interval.estimate, "{:+.3f}"),
                    ReportNumber(c.interval.low, "{:+.3f}"),
                    ReportNumber(c.interval.high, "{:+.3f}"), ReportNumber(c.p, "{:.3g}"),
                    ReportNumber(c.smallest_p, "{:.3g}"),
                    c.primary || c.control ? "-" : ReportNumber(c.p_holm, "{:.3g}"),
                    ReportNumber(c.cliffs_delta, "{:+.2f}")});
  };
  for (const Comparison& c : in.analysis.comparisons) add(c, c.primary ? "primary" : "exploratory");
  if (in.analysis.control) add(*in.analysis.control, "A/A control");
  page->AddFigure(
      plot.Svg(),
      "95 % intervals by a crossed bootstrap over patients and seeds, widened to "
      "Student's width. The diamond is the primary comparison, named before running; all "
      "others are exploratory.");
  page->AddTable({"difference", "role", "estimate", "low", "high", "p, exact",
                  "smallest possible p", "p, Holm", "Cliff's delta"},
                 rows, {.caption = "Exact two-sided sign-flip test over seeds"});
}

void AddSettings(const ReportInput& in, core::HtmlPage* page) {
  page->AddHeading("Settings");
  page->AddParagraph(
      "Every number above is in `study.json`, `results.csv` and `curves.csv` beside this file, and "
      "can be computed again from the pixel counts in `runs/*/result.json`.");
  const auto config = in.folder / "config.toml";
  if (fs::exists(config)) page->AddDetails("config.toml", core::ReadFile(config));
}

}  // namespace

void WriteStudyReport(const StudyOptions& options, const MaskDataset& data, const StudyPlan& plan,
                      const Results& results, const Analysis& analysis, const ReportExtras& extras,
                      const std::filesystem::path& folder) {
  const ReportInput in{options,  data,   plan,   results,
                       analysis, extras, folder, ParsePrimary(options.primary)};
  std::set<std::string> patients;
  for (const ImageSplit& split : plan.splits) {
    for (const std::string& id : PatientsOf(data.items(), split.test)) patients.insert(id);
  }
  core::HtmlPage page(
      "Which start is worth it?",
      fmt::format("{} arms, {} label levels, {} seeds; {} test patients", plan.arms.size(),
                  plan.levels.size(), options.seeds, patients.size()));
  AddCallouts(in, &page);
  AddDifferences(in, &page);
  AddSureness(in, &page);
  AddArms(in, &page);
  AddTuning(in, &page);
  AddFacts(in, &page);
  AddLabelCurve(in, &page);
  AddScores(in, &page);
  AddLearningCurves(in, &page);
  AddDrift(in, &page);
  AddGallery(in, &page);
  AddTiles(in, &page);
  AddPretraining(in, &page);
  AddSplitCard(in, &page);
  AddSettings(in, &page);
  page.Write(folder / "report.html");
}

}  // namespace eosin::segment
