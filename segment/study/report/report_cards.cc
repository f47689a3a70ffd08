// SPDX-License-Identifier: Apache-2.0
// The cards of the report: how sure it is, how fast arms learn, what moved, who was tested.
#include <algorithm>

#include "core/report/svg.h"
#include "segment/study/report/report_parts.h"

namespace eosin::segment {
namespace {

std::string Interval(const core::Interval& interval, const char* format) {
  if (std::isnan(interval.estimate)) return "n/a";
  return fmt::format("{} [{}, {}]", ReportNumber(interval.estimate, format),
                     ReportNumber(interval.low, format), ReportNumber(interval.high, format));
}

std::string SpreadSentence(const Comparison& c) {
  return fmt::format(
      "The paired differences spread by {:.3f} over seeds, {:.3f} over patients and {:.3f} from "
      "cell "
      "to cell (standard deviations; {} seeds x {} patients, {:.1f} degrees of freedom).",
      std::sqrt(c.variance.seed), std::sqrt(c.variance.patient), std::sqrt(c.variance.cell),
      c.variance.seeds, c.variance.patients, c.variance.degrees);
}

// "frozen", "0.012 (rate x 0.1)".
bool IsFrozen(const std::string& freeze, const std::string& stage) {
  const auto& names = FreezeNames();
  const auto up_to = std::find(names.begin(), names.end(), freeze);
  const auto own = std::find(names.begin(), names.end(), stage);
  return freeze != "none" && own != names.end() && own <= up_to;
}

}  // namespace

void AddSureness(const ReportInput& in, core::HtmlPage* page) {
  const Analysis& analysis = in.analysis;
  page->AddHeading("How sure");
  std::vector<std::string> items = {"**Noise floor.** " +
                                    FloorSentence(analysis.floor, in.primary.metric)};
  const bool has_control = std::any_of(in.plan.arms.begin(), in.plan.arms.end(),
                                       [](const Arm& arm) { return arm.control(); });
  if (analysis.control) {
    items.push_back("**A/A control.** " + ControlSentence(*analysis.control));
  } else if (has_control) {
    items.push_back("**A/A control.** Not finished yet.");
  } else {
    items.push_back(
        "**A/A control.** Not run: add `random_again` to study.arms to compare random with itself "
        "under other heads.");
  }
  if (const std::string constant = ConstantSentence(in.options, in.plan, analysis);
      !constant.empty()) {
    items.push_back("**Constant.** " + constant);
  }
  if (!analysis.comparisons.empty() && analysis.comparisons.front().primary) {
    items.push_back("**Spread.** " + SpreadSentence(analysis.comparisons.front()));
  }
  items.push_back("**Scope.** " + ScopeSentence(in.plan, analysis));
  items.push_back(
      fmt::format("**Test images.** Read twice by each model, with its best and with its last "
                  "state; the best is "
                  "chosen by validation Dice, tuning and transfer too go by Dice. {} models were "
                  "scored on them, none was chosen by them.",
                  std::count_if(in.plan.jobs.begin(), in.plan.jobs.end(),
                                [](const Job& job) { return job.role != JobRole::kTune; })));
  page->AddList(items);
}

void AddTransfer(const ReportInput& in, core::HtmlPage* page) {
  if (in.analysis.transfer.empty()) return;
  std::vector<std::vector<std::string>> rows;
  for (const TransferRow& row : in.analysis.transfer) {
    const bool own = row.arm == row.reference;
    rows.push_back({row.level.Label(), ArmLabel(in.plan, row.arm),
                    fmt::format("{} of {}", row.reached, row.seeds),
                    ReportNumber(row.steps, "{:.0f}"), ReportNumber(row.epochs, "{:.1f}"),
                    own ? "reference" : Interval(row.ratio, "{:.2f}"), ReportNumber(row.area),
                    own ? "reference" : Interval(row.area_difference, "{:+.3f}")});
  }
  page->AddTable(
      {"labels", "arm", "seeds that got there", "steps, median", "epochs, median",
       "steps / reference's", "area under the curve", "area less reference's"},
      rows,
      {.caption = fmt::format(
           "Transfer speed: steps, and epochs of the labelled images, until {:.0f} % of the best "
           "validation Dice of {} (same seed), "
           "\"never\" where half of the seeds did not get there; ratio of steps over the seeds "
           "where "
           "both did; mean validation Dice over the logarithm of steps. [95 % interval over seeds]",
           100 * kReach, ArmLabel(in.plan, in.analysis.transfer.front().reference))});
}

void AddDrift(const ReportInput& in, core::HtmlPage* page) {
  std::vector<const ArmDrift*> drifts;
  for (const ArmDrift& drift : in.analysis.drift) {
    if (drift.level == in.primary.level && drift.arm != kControlArm) drifts.push_back(&drift);
  }
  if (drifts.empty()) return;
  page->AddHeading("What moved");
  core::BarChart chart{
      .title = "Weight drift by stage", .y_title = "|w - w0| / |w0|", .categories = {}};
  std::vector<std::string> headers = {"stage"};
  std::vector<std::vector<std::string>> rows;
  for (const StageChange& stage : drifts.front()->stages) {
    chart.categories.push_back(stage.stage);
    rows.push_back({stage.stage});
  }
  for (const ArmDrift* drift : drifts) {
    const auto arm = std::find_if(in.plan.arms.begin(), in.plan.arms.end(),
                                  [&](const Arm& a) { return a.name == drift->arm; });
    core::BarSeries series{.name = arm->label, .color = in.ColorOf(drift->arm)};
    headers.push_back(arm->label);
    for (size_t i = 0; i < drift->stages.size() && i < rows.size(); ++i) {
      const StageChange& stage = drift->stages[i];
      series.values.push_back(stage.relative);
      rows[i].push_back(
          IsFrozen(arm->freeze, stage.stage)
              ? fmt::format("frozen ({:.3g})", stage.relative)
              : fmt::format("{:.3f} (rate x {:g})", stage.relative, arm->backbone_lr));
    }
    chart.series.push_back(std::move(series));
  }
  page->AddFigure(
      chart.Svg(),
      fmt::format("How far the best state's backbone lies from where it started, with {}; "
                  "mean over seeds. A frozen stage must stay at 0.",
                  in.primary.level.Label()));
  page->AddTable(headers, rows, {.caption = "The same, with what was frozen", .sortable = false});
}

void AddTuning(const ReportInput& in, core::HtmlPage* page) {
  if (in.analysis.tuned.empty()) return;
  std::vector<std::vector<std::string>> rows;
  int at_end = 0;
  for (const TunedRate& tuned : in.analysis.tuned) {
    at_end += tuned.chosen == tuned.rates.front() || tuned.chosen == tuned.rates.back();
    std::string tried;
    for (size_t i = 0; i < tuned.rates.size(); ++i) {
      tried += fmt::format("{}{:g}: {:.3f}", i ? ", " : "", tuned.rates[i], tuned.scores[i]);
    }
    rows.push_back({ArmLabel(in.plan, tuned.arm), fmt::format("{}", tuned.fold), tried,
                    fmt::format("{:g}", tuned.chosen)});
  }
  page->AddTable({"arm", "fold", "rate: best validation Dice", "chosen"}, rows,
                 {.caption = fmt::format(
                      "Tuning: the same {} learning rates, steps and labels for every arm, with a "
                      "seed that no other run has; test images were not read. {} of {} chosen "
                      "rates lie at an end of the grid{}",
                      in.options.tune.size(), at_end, in.analysis.tuned.size(),
                      at_end > 0 ? ": a wider one might do better" : ""),
                  .sortable = false});
}

void AddSplitCard(const ReportInput& in, core::HtmlPage* page) {
  page->AddHeading("Who was tested");
  std::vector<std::vector<std::string>> rows;
  for (size_t fold = 0; fold < in.plan.splits.size(); ++fold) {
    const std::string prefix = in.plan.splits.size() > 1 ? fmt::format("fold {}, ", fold) : "";
    auto add = [&](const std::string& name, const std::vector<int64_t>& part) {
      const auto patients = PatientsOf(in.data.items(), part);
      rows.push_back({prefix + name, fmt::format("{}", patients.size()),
                      fmt::format("{}", part.size()),
                      fmt::format("{}", fmt::join(patients, ", "))});
    };
    add("train", in.plan.splits[fold].train);
    add("validation", in.plan.splits[fold].val);
    add("test", in.plan.splits[fold].test);
  }
  page->AddTable({"part", "patients", "images", "patient ids"}, rows,
                 {.caption = "Split by patient, once for the whole study", .sortable = false});
  std::vector<std::string> items;
  for (const LabelLevel& level : in.plan.levels) {
    items.push_back(fmt::format("{}: {} of {} training images", level.Label(),
                                LabelledImages(in.plan, level),
                                in.plan.splits.front().train.size()));
  }
  items.push_back("No patient, no slide and no file (SHA-256) is in two parts: checked");
  if (in.extras.leaks) {
    const LeakFacts& leaks = *in.extras.leaks;
    items.push_back(fmt::format(
        "No picture is in two parts under another name (turned, re-encoded, re-stained, brighter, "
        "resized): {} images compared, closest resemblance {:.2f}, a copy from {:.2f} on; {} pairs "
        "of "
        "copies lie inside one part",
        leaks.images, leaks.closest, kCopyThreshold, leaks.copies_inside));
    if (leaks.tiles > 0) {
      items.push_back(fmt::format(
          "Pretraining left out all tiles of ssl.data that ssl.patients gives to "
          "validation and test patients{}; the {} tiles it used were compared with the "
          "held-out images ({} blank ones cannot be told apart)",
          in.plan.splits.size() > 1 ? ", in each fold" : "", leaks.tiles, leaks.blank_tiles));
    }
  }
  for (const Arm& arm : in.plan.arms) {
    if (arm.init == "random" || !arm.skipped.empty()) continue;
    const std::string made = std::filesystem::weakly_canonical(in.folder).string() + "/";
    if (std::filesystem::weakly_canonical(arm.init).string().rfind(made, 0) == 0)
      continue;  // by this study
    items.push_back(fmt::format(
        "**{}** starts from a file that was given: what it was trained on is not known here",
        arm.label));
  }
  page->AddList(items);
}

}  // namespace eosin::segment
