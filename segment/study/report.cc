// SPDX-License-Identifier: Apache-2.0
#include "segment/study/report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/report/svg.h"
#include "core/stats/summary.h"
#include "segment/study/contours.h"

namespace eosin::segment {
namespace {

using eval::Metric;

std::string Number(double value, const char* format = "{:.3f}") {
  return std::isnan(value) ? std::string("n/a") : fmt::format(fmt::runtime(format), value);
}

std::string Percent(double fraction) { return fmt::format("{:g} %", 100 * fraction); }

class Report {
 public:
  Report(const StudyOptions& options, const MaskDataset& data, const StudyPlan& plan,
         const std::vector<SegmentResult>& results, const Analysis& analysis,
         const ReportExtras& extras, const std::filesystem::path& folder)
      : options_(options),
        data_(data),
        plan_(plan),
        results_(results),
        analysis_(analysis),
        extras_(extras),
        folder_(folder),
        page_(
            "Which start is worth it?",
            fmt::format("{} arms, {} label fractions, {} seeds; {} test patients", plan.arms.size(),
                        options.fractions.size(), options.seeds, analysis.test_patients)) {}

  void Write() {
    Head();
    Tiles();
    Pretraining();
    LearningCurves();
    LabelCurve();
    Scores();
    Differences();
    Gallery();
    SplitCard();
    Settings();
    page_.Write(folder_ / "report.html");
  }

 private:
  const Arm& ArmOf(const std::string& name) const {
    return *std::find_if(plan_.arms.begin(), plan_.arms.end(),
                         [&](const Arm& arm) { return arm.name == name; });
  }
  int ColorOf(const std::string& name) const {
    return static_cast<int>(&ArmOf(name) - plan_.arms.data());
  }
  std::vector<const Arm*> RunningArms() const {
    std::vector<const Arm*> arms;
    for (const Arm& arm : plan_.arms) {
      if (arm.skipped.empty()) arms.push_back(&arm);
    }
    return arms;
  }
  const Cell* CellOf(const std::string& arm, double fraction) const {
    for (const Cell& cell : analysis_.cells) {
      if (cell.arm == arm && cell.fraction == fraction) return &cell;
    }
    return nullptr;
  }

  void Head() {
    const core::Verdict kind = analysis_.verdict == VerdictKind::kShown ? core::Verdict::kGood
                               : analysis_.verdict == VerdictKind::kNotShown
                                   ? core::Verdict::kUnsure
                                   : core::Verdict::kNeutral;
    page_.AddCallout(kind, "Verdict", analysis_.verdict_sentence);
    if (!options_.note.empty()) page_.AddCallout(core::Verdict::kUnsure, "Note", options_.note);
    std::vector<std::string> skipped;
    for (const Arm& arm : plan_.arms) {
      if (!arm.skipped.empty())
        skipped.push_back(fmt::format("**{}**: {}", arm.label, arm.skipped));
    }
    if (!skipped.empty()) {
      page_.AddCallout(core::Verdict::kUnsure, "Skipped",
                       fmt::format("{}", fmt::join(skipped, "; ")));
    }
    const SegmentOptions& s = options_.segment;
    std::vector<std::pair<std::string, std::string>> facts = {
        {"primary comparison", options_.primary},
        {"network",
         fmt::format("{}, {}, output stride {}, ASPP rates {}, head {} channels", s.head, s.arch,
                     s.output_stride, fmt::join(s.Rates(), "/"), s.head_channels)},
        {"budget of each model",
         fmt::format(
             "{} steps of {} crops of {} px, {} rate {:g}, poly {:g}; the same for every arm "
             "and fraction",
             s.steps, s.batch, s.crop, s.optimizer.name, s.optimizer.lr, s.poly_power)},
        {"seeds", fmt::format("{} (label subset, head, order, augmentation; the same in every arm)",
                              options_.seeds)},
        {"config.toml", Hash("config.toml")},
        {"split.json", Hash("split.json")}};
    for (const auto& fact : extras_.facts) facts.push_back(fact);
    page_.AddFacts(facts);

    std::vector<std::vector<std::string>> arms;
    for (const Arm& arm : plan_.arms) {
      arms.push_back(
          {arm.label,
           arm.init == "random" ? "random" : std::filesystem::path(arm.init).filename().string(),
           arm.freeze == "none" ? "nothing" : "up to " + arm.freeze,
           fmt::format("x {:g}", arm.backbone_lr),
           arm.skipped.empty() ? "ran" : "skipped: " + arm.skipped});
    }
    page_.AddTable({"arm", "backbone from", "frozen", "backbone rate", "state"}, arms,
                   {.caption = "The arms", .sortable = false});
  }

  std::string Hash(const std::string& name) const {
    const auto path = folder_ / name;
    return fs::exists(path) ? "sha256 " + core::Sha256File(path).substr(0, 16) : "not written";
  }

  void Tiles() {
    if (extras_.tiles.empty() && extras_.slides.empty()) return;
    page_.AddHeading("Tiles");
    if (!extras_.slides.empty()) {
      std::vector<std::string> labels;
      core::GalleryRow row;
      for (const auto& [name, bytes] : extras_.slides) {
        labels.push_back(name);
        row.images.push_back({bytes, ""});
        if (row.images.size() == 4) {
          page_.AddGallery(labels, {row});
          labels.clear();
          row.images.clear();
        }
      }
      if (!labels.empty()) page_.AddGallery(labels, {row});
    }
    if (!extras_.tiles.empty()) {
      page_.AddTileWall(
          extras_.tiles,
          fmt::format("{} tiles of the pretraining data, evenly spaced", extras_.tiles.size()));
    }
  }

  void Pretraining() {
    const auto path = extras_.pretrain_run / "metrics.csv";
    if (extras_.pretrain_run.empty() || !fs::exists(path)) return;
    page_.AddHeading("Pretraining");
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
      page_.AddFigure(chart.Svg(),
                      fmt::format("{} of the pretraining on the train patients' tiles", name));
    }
  }

  void LearningCurves() {
    page_.AddHeading("Learning curves");
    for (const double fraction : options_.fractions) {
      core::LineChart chart{.title = Percent(fraction) + " of the labels",
                            .x_title = "step",
                            .y_title = "validation Dice"};
      for (const Arm* arm : RunningArms()) {
        std::map<int64_t, std::vector<double>> by_step;
        for (size_t i = 0; i < plan_.jobs.size(); ++i) {
          if (plan_.jobs[i].arm.name != arm->name || plan_.jobs[i].fraction != fraction) continue;
          for (const CurvePoint& point : results_[i].curve) {
            if (!std::isnan(point.val_dice)) by_step[point.step].push_back(point.val_dice);
          }
        }
        core::Series series{.name = arm->label, .color = ColorOf(arm->name)};
        for (const auto& [step, values] : by_step) {
          series.x.push_back(static_cast<double>(step));
          series.y.push_back(core::Mean(values));
          series.low.push_back(*std::min_element(values.begin(), values.end()));
          series.high.push_back(*std::max_element(values.begin(), values.end()));
        }
        chart.series.push_back(std::move(series));
      }
      page_.AddFigure(chart.Svg(),
                      fmt::format("Mean over {} seeds; the band spans the seeds", options_.seeds));
    }
  }

  void LabelCurve() {
    if (options_.fractions.size() < 2) return;
    page_.AddHeading("How many labels");
    core::LineChart chart{.title = "Test Dice by label fraction",
                          .x_title = "share of the training images with labels, %",
                          .y_title = "Dice",
                          .log_x = true,
                          .markers = true};
    for (const double fraction : options_.fractions) chart.x_ticks.push_back(100 * fraction);
    for (const Arm* arm : RunningArms()) {
      core::Series series{.name = arm->label, .color = ColorOf(arm->name)};
      for (const double fraction : options_.fractions) {
        const Cell* cell = CellOf(arm->name, fraction);
        if (!cell) continue;
        series.x.push_back(100 * fraction);
        series.y.push_back(cell->dice_interval.estimate);
        series.low.push_back(cell->dice_interval.low);
        series.high.push_back(cell->dice_interval.high);
      }
      chart.series.push_back(std::move(series));
    }
    page_.AddFigure(
        chart.Svg(),
        "Mean over patients and seeds; bands: 95 % intervals of each arm by itself. "
        "Whether two arms differ is told by the paired differences below, not by whether "
        "the bands overlap.");
  }

  void Scores() {
    page_.AddHeading("Scores");
    std::vector<std::string> headers = {"labels", "class", "metric"};
    for (const Arm* arm : RunningArms()) headers.push_back(arm->label);
    std::vector<std::vector<std::string>> rows;
    const auto& classes = options_.segment.data.classes;
    for (const double fraction : options_.fractions) {
      auto add = [&](const std::string& name, const std::string& metric, auto value) {
        std::vector<std::string> row = {Percent(fraction), name, metric};
        for (const Arm* arm : RunningArms()) {
          const Cell* cell = CellOf(arm->name, fraction);
          row.push_back(cell ? value(*cell) : std::string("n/a"));
        }
        rows.push_back(std::move(row));
      };
      auto with_interval = [](const core::Interval& i) {
        return fmt::format("{} [{}, {}]", Number(i.estimate), Number(i.low), Number(i.high));
      };
      add("mean of foreground", "Dice",
          [&](const Cell& c) { return with_interval(c.dice_interval); });
      add("mean of foreground", "IoU",
          [&](const Cell& c) { return with_interval(c.iou_interval); });
      add("mean of foreground", "Dice, sd over seeds",
          [](const Cell& c) { return Number(c.dice_sd); });
      add("mean of foreground", "Dice, all pixels pooled",
          [](const Cell& c) { return Number(c.micro_dice); });
      add("mean of foreground", "Dice, last state",
          [](const Cell& c) { return Number(c.last_dice); });
      for (size_t k = 0; k < classes.size(); ++k) {
        add(classes[k], "Dice", [&](const Cell& c) { return Number(c.class_dice[k]); });
        add(classes[k], "IoU", [&](const Cell& c) { return Number(c.class_iou[k]); });
      }
    }
    page_.AddTable(
        headers, rows,
        {.caption = "Test scores: pixels pooled inside a patient, mean over patients and "
                    "seeds, best state by validation; [95 % interval]. A class absent from "
                    "truth and prediction is n/a."});
  }

  void Differences() {
    if (analysis_.comparisons.empty()) return;
    page_.AddHeading("Paired differences");
    core::ForestPlot plot{.title = "Differences, the same patients and seeds",
                          .x_title = analysis_.comparisons.front().metric == Metric::kDice
                                         ? "difference of Dice"
                                         : "difference of IoU"};
    std::vector<std::vector<std::string>> rows;
    for (const Comparison& c : analysis_.comparisons) {
      const std::string label = fmt::format("{} - {}, {}", ArmOf(c.arm_a).label,
                                            ArmOf(c.arm_b).label, Percent(c.fraction));
      plot.rows.push_back(
          {label, c.interval.estimate, c.interval.low, c.interval.high, "", c.primary});
      rows.push_back({label, c.primary ? "primary" : "exploratory",
                      Number(c.interval.estimate, "{:+.3f}"), Number(c.interval.low, "{:+.3f}"),
                      Number(c.interval.high, "{:+.3f}"), Number(c.p, "{:.3g}"),
                      Number(c.smallest_p, "{:.3g}"), c.primary ? "-" : Number(c.p_holm, "{:.3g}"),
                      Number(c.cliffs_delta, "{:+.2f}")});
    }
    page_.AddFigure(
        plot.Svg(),
        "95 % intervals by a crossed bootstrap over patients and seeds. The diamond is the "
        "primary comparison, named before running; all others are exploratory.");
    page_.AddTable({"difference", "role", "estimate", "low", "high", "p, exact",
                    "smallest possible p", "p, Holm", "Cliff's delta"},
                   rows, {.caption = "Exact two-sided sign-flip test over seeds"});
  }

  // The jobs of one seed at the primary fraction: image | truth | arms.
  void Gallery() {
    const PrimaryComparison primary = ParsePrimary(options_.primary);
    std::vector<size_t> jobs;
    for (size_t i = 0; i < plan_.jobs.size(); ++i) {
      if (plan_.jobs[i].fraction == primary.fraction && plan_.jobs[i].seed == 0) jobs.push_back(i);
    }
    const int background = static_cast<int>(options_.segment.data.background);
    struct Candidate {
      int64_t index;
      double score;  // mean over the arms
    };
    std::vector<Candidate> candidates;
    for (size_t at = 0; at < plan_.split.test.size(); ++at) {
      const int64_t index = plan_.split.test[at];
      std::vector<double> scores;
      bool complete = !jobs.empty();
      for (const size_t job : jobs) {
        complete = complete && fs::exists(PredictionPath(job, index));
        scores.push_back(results_[job].test[at].counts.MeanScore(Metric::kDice, background));
      }
      const double mean = core::Mean(scores);
      if (complete && !std::isnan(mean)) candidates.push_back({index, mean});
    }
    if (candidates.empty()) return;
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.score < b.score; });
    page_.AddHeading("Examples");
    std::vector<std::string> labels = {"image", "truth"};
    for (const size_t job : jobs) labels.push_back(plan_.jobs[job].arm.label);
    std::vector<core::GalleryRow> rows;
    std::set<size_t> chosen = {0, candidates.size() / 2, candidates.size() - 1};
    for (const size_t pick : chosen) {
      const int64_t index = candidates[pick].index;
      const auto pair = data_.Read(index);
      const std::string rank = pick == 0                       ? "worst"
                               : pick + 1 == candidates.size() ? "best"
                                                               : "median";
      core::GalleryRow row{fmt::format("{} ({})", data_.item(index).name, rank), {}};
      const core::Image empty(pair->mask.width, pair->mask.height, 1,
                              static_cast<uint8_t>(std::max(0, background)));
      row.images.push_back({Picture(pair->image, empty), "patient " + data_.item(index).patient});
      row.images.push_back({Picture(pair->image, pair->mask), ""});
      for (const size_t job : jobs) {
        const core::Image prediction = core::ReadMask(PredictionPath(job, index));
        const auto& test = results_[job].test;
        const auto counts = std::find_if(test.begin(), test.end(), [&](const auto& image) {
          return image.name == data_.item(index).name;
        });
        row.images.push_back(
            {Picture(pair->image, prediction),
             fmt::format("Dice {}", Number(counts->counts.MeanScore(Metric::kDice, background)))});
      }
      rows.push_back(std::move(row));
    }
    page_.AddGallery(
        labels, rows,
        fmt::format("{} of the labels, seed 0; ranked by the arms' mean Dice among the {} "
                    "test images whose predictions were kept",
                    Percent(primary.fraction), candidates.size()));
  }

  fs::path PredictionPath(size_t job, int64_t index) const {
    return folder_ / "runs" / plan_.jobs[job].name / "predictions" /
           (data_.item(index).name + ".png");
  }

  core::PictureBytes Picture(const core::Image& image, const core::Image& mask) const {
    const int background = static_cast<int>(options_.segment.data.background);
    return core::EncodeJpeg(DrawContours(image, mask, std::max(0, background), 260), 85);
  }

  void SplitCard() {
    page_.AddHeading("Who was tested");
    std::vector<std::vector<std::string>> rows;
    auto add = [&](const std::string& name, const std::vector<int64_t>& part) {
      const auto patients = PatientsOf(data_.items(), part);
      rows.push_back({name, fmt::format("{}", patients.size()), fmt::format("{}", part.size()),
                      fmt::format("{}", fmt::join(patients, ", "))});
    };
    add("train", plan_.split.train);
    add("validation", plan_.split.val);
    add("test", plan_.split.test);
    page_.AddTable({"part", "patients", "images", "patient ids"}, rows,
                   {.caption = "Split by patient, once for the whole study", .sortable = false});
    std::vector<std::string> items;
    for (size_t f = 0; f < options_.fractions.size(); ++f) {
      for (const Job& job : plan_.jobs) {
        if (job.fraction != options_.fractions[f]) continue;
        items.push_back(fmt::format("{} of the labels: {} of {} training images",
                                    Percent(job.fraction), job.train.size(),
                                    plan_.split.train.size()));
        break;
      }
    }
    items.push_back("No patient and no picture (SHA-256 of the file) is in two parts: checked");
    items.push_back(
        "Test images were read twice by each model: with its best and with its last state");
    page_.AddList(items);
  }

  void Settings() {
    page_.AddHeading("Settings");
    page_.AddParagraph(
        "Every number above is in `study.json` and `results.csv` beside this file, and can be "
        "computed "
        "again from the pixel counts in `runs/*/result.json`.");
    const auto config = folder_ / "config.toml";
    if (fs::exists(config)) page_.AddDetails("config.toml", core::ReadFile(config));
  }

  const StudyOptions& options_;
  const MaskDataset& data_;
  const StudyPlan& plan_;
  const std::vector<SegmentResult>& results_;
  const Analysis& analysis_;
  const ReportExtras& extras_;
  const std::filesystem::path folder_;
  core::HtmlPage page_;
};

}  // namespace

void WriteStudyReport(const StudyOptions& options, const MaskDataset& data, const StudyPlan& plan,
                      const std::vector<SegmentResult>& results, const Analysis& analysis,
                      const ReportExtras& extras, const std::filesystem::path& folder) {
  Report(options, data, plan, results, analysis, extras, folder).Write();
}

}  // namespace eosin::segment
