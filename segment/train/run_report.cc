// SPDX-License-Identifier: Apache-2.0
#include "segment/train/run_report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/image/codec.h"
#include "core/report/html.h"
#include "core/report/svg.h"
#include "eval/segmentation/measures.h"
#include "segment/data/contours.h"
#include "segment/train/score_table.h"

namespace eosin::segment {
namespace {

using eval::ImageScores;
using eval::SegmentationMeasure;

class Report {
 public:
  Report(const SegmentOptions& options, const MaskDataset& data, const ImageSplit& split,
         const SegmentResult& result, const std::vector<std::string>& notes,
         const std::filesystem::path& folder)
      : options_(options),
        data_(data),
        split_(split),
        result_(result),
        notes_(notes),
        folder_(folder),
        background_(static_cast<int>(result.background)),
        patients_(eval::PoolByPatient(result.test)),
        page_("Segmentation model",
              fmt::format("{} from {}, {} test patients, {} test images", options.arch, result.init,
                          patients_.size(), result.test.size())) {}

  void Write() {
    Head();
    Scores();
    Patients();
    Confusion();
    Examples();
    Curves();
    Definitions();
    const auto config = folder_ / "config.toml";
    if (fs::exists(config)) page_.AddDetails("config.toml", core::ReadFile(config));
    page_.Write(folder_ / "report.html");
  }

 private:
  std::string Text(const SegmentationMeasure& measure, double value) const {
    return ScoreText(value, measure.is_distance ? 2 : 3);
  }
  std::string Title(const SegmentationMeasure& measure) const {
    return measure.is_distance ? fmt::format("{}, {}", measure.title, DistanceUnit(result_))
                               : measure.title;
  }
  double Macro(const char* name, int c = -1) const {
    return eval::Macro(eval::FindMeasure(name), patients_, c, background_);
  }

  void Head() {
    page_.AddCallout(
        core::Verdict::kNeutral, "Result",
        fmt::format("Dice **{}**, IoU {}, boundary F1 {}, Hausdorff 95 % {} {} (mean over {} test "
                    "patients and the classes but background; {}, step {})",
                    ScoreText(Macro("dice"), 3), ScoreText(Macro("iou"), 3),
                    ScoreText(Macro("boundary_f1"), 3), ScoreText(Macro("hd95"), 1),
                    DistanceUnit(result_), patients_.size(), Kept(), result_.best_step));
    for (const std::string& note : notes_) {
      page_.AddCallout(core::Verdict::kUnsure, "Note", note);
    }
    const auto part = [&](const std::vector<int64_t>& indices) {
      return fmt::format("{} images of {} patients", indices.size(),
                         PatientsOf(data_.items(), indices).size());
    };
    page_.AddFacts(
        {{"trained on", part(split_.train)},
         {"validated on", part(split_.val)},
         {"tested on", part(split_.test)},
         {"scale", result_.mpp > 0 ? fmt::format("{:.3g} um/px", result_.mpp)
                                   : std::string("not known: distances are in px (input.mpp)")},
         {"start", result_.init == "random"
                       ? std::string("random")
                       : fmt::format("{} ({:.1f} % of the parameters of {})", result_.init,
                                     100 * result_.weights_matched, Started())},
         {"frozen", DescribeFreezing(options_)},
         {"parameters", fmt::format("{:.2f} M, {:.2f} M of them frozen throughout",
                                    static_cast<double>(result_.parameters) / 1e6,
                                    static_cast<double>(result_.frozen_parameters) / 1e6)},
         {"training",
          fmt::format("{} steps of {} crops of {} px, {} at {:g}", result_.steps, options_.batch,
                      options_.crop, options_.optimizer.name, options_.optimizer.lr)},
         {"config.toml", Hash("config.toml")},
         {"split.json", Hash("split.json")}});
  }

  std::string Kept() const {
    return ChosenByValidation(result_) ? "best state by validation"
                                       : "last state, because every validation was n/a";
  }

  // What the weights file was to fill.
  std::string Started() const {
    if (options_.init_part == "backbone") return "the backbone";
    return options_.init_part == "body" ? "the net but its class layer" : "the whole net";
  }

  std::string Hash(const std::string& name) const {
    const auto path = folder_ / name;
    return fs::exists(path) ? "sha256 " + core::Sha256File(path).substr(0, 16) : "not written";
  }

  void Scores() {
    page_.AddHeading("Scores");
    std::vector<std::string> headers = {"class", "pooled"};
    for (const SegmentationMeasure& measure : eval::Measures()) headers.push_back(Title(measure));
    const ImageScores all = eval::PoolScores(result_.test, Classes());
    std::vector<std::vector<std::string>> rows;
    for (int c = 0; c <= Classes(); ++c) {
      const int of = c < Classes() ? c : -1;
      if (of == background_ && of >= 0) continue;
      const std::string name =
          of < 0 ? "mean of " + MeanOf(background_) : result_.classes[static_cast<size_t>(c)];
      if (of < 0 && rows.size() == 2) break;  // one foreground class: the mean is the class
      std::vector<std::string> macro = {name, "by patient, then mean"}, micro = {name, "all"};
      for (const SegmentationMeasure& measure : eval::Measures()) {
        macro.push_back(Text(measure, eval::Macro(measure, patients_, of, background_)));
        micro.push_back(Text(
            measure, of < 0 ? eval::ClassMean(measure, all, background_) : measure.value(all, of)));
      }
      rows.push_back(std::move(macro));
      rows.push_back(std::move(micro));
    }
    page_.AddTable(headers, rows,
                   {.caption = fmt::format("Test scores of the {}; pixel accuracy {}", Kept(),
                                           ScoreText(all.counts.PixelAccuracy(), 3))});
    std::vector<std::string> missed;
    for (int c = 0; c < Classes(); ++c) {
      if (all.detail.empty() || c == background_) continue;
      const eval::SurfaceScores& s = all.detail[static_cast<size_t>(c)].surface;
      missed.push_back(fmt::format("{}: missed in {} images that show it, seen in {} that do not",
                                   result_.classes[static_cast<size_t>(c)], s.missed, s.spurious));
    }
    if (!missed.empty()) page_.AddList(missed);
  }

  int Classes() const { return static_cast<int>(result_.classes.size()); }

  void Patients() {
    page_.AddHeading("By patient");
    std::vector<std::string> headers = {"patient", "images"};
    for (const SegmentationMeasure& measure : eval::Measures()) headers.push_back(Title(measure));
    std::vector<std::vector<std::string>> rows;
    for (const ImageScores& patient : patients_) {
      const auto images =
          std::count_if(result_.test.begin(), result_.test.end(),
                        [&](const ImageScores& s) { return s.patient == patient.patient; });
      std::vector<std::string> row = {patient.patient, fmt::format("{}", images)};
      for (const SegmentationMeasure& measure : eval::Measures()) {
        row.push_back(Text(measure, eval::ClassMean(measure, patient, background_)));
      }
      rows.push_back(std::move(row));
    }
    page_.AddTable(headers, rows, {.caption = "Mean over the classes but background"});
  }

  void Confusion() {
    page_.AddHeading("Confusion");
    const eval::ConfusionMatrix counts = eval::PoolAll(result_.test, Classes());
    core::Heatmap map{.title = "Pixels of all test images",
                      .row_title = "truth",
                      .column_title = "prediction",
                      .rows = result_.classes,
                      .columns = result_.classes};
    for (int t = 0; t < Classes(); ++t) {
      for (int p = 0; p < Classes(); ++p) {
        map.values.push_back(static_cast<double>(counts.count(t, p)));
      }
    }
    page_.AddFigure(map.Svg(), "Shares of each true class; counts on hover and in confusion.csv");
  }

  void Examples() {
    const SegmentationMeasure& dice = eval::FindMeasure("dice");
    struct Candidate {
      size_t at;
      double score;
    };
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < result_.test.size() && i < split_.test.size(); ++i) {
      const double score = eval::ClassMean(dice, result_.test[i], background_);
      if (fs::exists(Prediction(i)) && !std::isnan(score)) candidates.push_back({i, score});
    }
    if (candidates.empty()) return;
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score < b.score; });
    page_.AddHeading("Examples");
    std::vector<core::GalleryRow> rows;
    for (const size_t pick : std::set<size_t>{0, candidates.size() / 2, candidates.size() - 1}) {
      const size_t at = candidates[pick].at;
      const ImageScores& scores = result_.test[at];
      const auto pair = data_.Read(split_.test[at]);
      const core::Image prediction = core::ReadMask(Prediction(at));
      const core::Image nothing(pair->mask.width, pair->mask.height, 1,
                                static_cast<uint8_t>(std::max(0, background_)));
      const char* rank = pick == 0 ? "worst" : pick + 1 == candidates.size() ? "best" : "median";
      rows.push_back({fmt::format("{} ({})", scores.name, rank),
                      {{Picture(pair->image, nothing), "patient " + scores.patient},
                       {Picture(pair->image, pair->mask), ""},
                       {Picture(pair->image, prediction),
                        fmt::format("Dice {}, boundary F1 {}, object Dice {}", Mean(dice, scores),
                                    Mean(eval::FindMeasure("boundary_f1"), scores),
                                    Mean(eval::FindMeasure("object_dice"), scores))}}});
    }
    page_.AddGallery({"image", "truth", "prediction"}, rows,
                     fmt::format("Ranked by Dice among the {} of {} test images whose predictions "
                                 "were kept (eval.keep_predictions)",
                                 candidates.size(), result_.test.size()));
  }

  std::string Mean(const SegmentationMeasure& measure, const ImageScores& scores) const {
    return ScoreText(eval::ClassMean(measure, scores, background_), 3);
  }
  std::filesystem::path Prediction(size_t at) const {
    return folder_ / "predictions" / (result_.test[at].name + ".png");
  }
  core::PictureBytes Picture(const core::Image& image, const core::Image& mask) const {
    return core::EncodeJpeg(DrawContours(image, mask, std::max(0, background_), 380), 88);
  }

  void Curves() {
    page_.AddHeading("Training");
    core::Series loss{.name = "loss"}, dice{.name = "Dice"}, iou{.name = "IoU"};
    for (const CurvePoint& point : result_.curve) {
      const auto step = static_cast<double>(point.step);
      loss.x.push_back(step), loss.y.push_back(point.loss);
      dice.x.push_back(step), dice.y.push_back(point.val_dice);
      iou.x.push_back(step), iou.y.push_back(point.val_iou);
    }
    core::LineChart scores{.title = "Validation",
                           .x_title = "step",
                           .y_title = "mean over patients",
                           .series = {dice, iou},
                           .markers = true,
                           .height = 300};
    page_.AddFigure(scores.Svg(), fmt::format("The state of step {} was kept", result_.best_step));
    core::LineChart losses{.title = "Training loss",
                           .x_title = "step",
                           .y_title = "loss",
                           .series = {loss},
                           .markers = true,
                           .height = 260};
    page_.AddFigure(losses.Svg(), "Mean since the point before");
  }

  void Definitions() {
    page_.AddHeading("What the scores mean");
    page_.AddList(
        {"**n/a** is never 0 and never 1: a class that is in neither truth nor prediction is left "
         "out of every mean",
         fmt::format("**boundary F1**: boundary pixels within {:g} {} of the other boundary count "
                     "as right (Csurka 2013)",
                     result_.score.tolerance, DistanceUnit(result_)),
         "**Hausdorff 95 %** and **surface distance** as MedPy defines them, by image; where a "
         "class is in truth or prediction only they are n/a and the image is counted as missed or "
         "spurious",
         "**object Dice, F1 and Hausdorff** by the GlaS challenge's definitions (Sirinukunwattana "
         "2017), **AJI** Kumar 2017, **PQ = SQ x RQ** Kirillov 2019; predicted objects are "
         "8-connected areas, true ones the numbers of instance masks or 8-connected areas",
         fmt::format(
             "test images were read twice: with the best state and with the last (mean Dice "
             "of the last: {})",
             ScoreText(eval::Macro(eval::FindMeasure("dice"),
                                   eval::PoolByPatient(result_.test_last), -1, background_),
                       3)),
         "every number is in `scores.csv` and `confusion.csv`; the sums behind them in "
         "`result.json`"});
  }

  const SegmentOptions& options_;
  const MaskDataset& data_;
  const ImageSplit& split_;
  const SegmentResult& result_;
  const std::vector<std::string>& notes_;
  const std::filesystem::path folder_;
  const int background_;
  const std::vector<ImageScores> patients_;
  core::HtmlPage page_;
};

}  // namespace

std::string DescribeFreezing(const SegmentOptions& options) {
  const auto part = [](const std::string& stage) -> std::string {
    if (stage == "none") return "nothing";
    if (stage == "stem") return "the stem";
    return stage == "all" || stage == "layer4" ? "the backbone" : "the backbone up to " + stage;
  };
  if (options.unfreeze_at == 0) return part(options.freeze);
  return fmt::format("{} until step {} of {}, then {}", part(options.freeze),
                     options.UnfreezeStep(), options.steps, part(options.unfreeze_to));
}

void WriteRunReport(const SegmentOptions& options, const MaskDataset& data, const ImageSplit& split,
                    const SegmentResult& result, const std::vector<std::string>& notes,
                    const std::filesystem::path& folder) {
  Report(options, data, split, result, notes, folder).Write();
}

}  // namespace eosin::segment
