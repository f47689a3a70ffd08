// SPDX-License-Identifier: Apache-2.0
#include "segment/train/score_table.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/formats/csv.h"
#include "core/stats/summary.h"
#include "eval/segmentation/measures.h"

namespace eosin::segment {
namespace {

using eval::ImageScores;
using eval::SegmentationMeasure;

std::string Cell(double value) {
  return std::isnan(value) ? std::string() : fmt::format("{:.6g}", value);
}

class Csv {
 public:
  explicit Csv(const SegmentResult& result)
      : result_(result), background_(static_cast<int>(result.background)) {
    std::vector<std::string> header = {"level", "name", "patient", "class", "images"};
    header.push_back("pixel_accuracy");
    for (const SegmentationMeasure& measure : eval::Measures()) header.emplace_back(measure.name);
    for (const char* name : {"distance_unit", "truth_pixels", "truth_objects", "predicted_objects",
                             "missed", "spurious", "objects_missed", "objects_spurious"}) {
      header.emplace_back(name);
    }
    text_ = core::CsvRow(header);
  }

  void Add(const std::string& level, const ImageScores& scores, size_t images) {
    for (int c = 0; c < Classes(); ++c) {
      std::vector<std::string> row = Start(level, scores.name, scores.patient, c, images, "");
      for (const SegmentationMeasure& measure : eval::Measures())
        row.push_back(Cell(measure.value(scores, c)));
      row.push_back(DistanceUnit(result_));
      row.push_back(fmt::format("{}", scores.counts.truth_total(c)));
      if (scores.detail.empty() || c == background_) {
        row.insert(row.end(), 6, "");
      } else {
        const eval::ClassDetail& detail = scores.detail[static_cast<size_t>(c)];
        for (const int64_t count :
             {detail.objects.truth, detail.objects.predicted, detail.surface.missed,
              detail.surface.spurious, detail.objects.missed, detail.objects.spurious}) {
          row.push_back(fmt::format("{}", count));
        }
      }
      text_ += core::CsvRow(row);
    }
    std::vector<std::string> row =
        Start(level, scores.name, scores.patient, -1, images, Cell(scores.counts.PixelAccuracy()));
    for (const SegmentationMeasure& measure : eval::Measures()) {
      row.push_back(Cell(eval::ClassMean(measure, scores, background_)));
    }
    End(std::move(row));
  }

  void AddMacro(const std::vector<ImageScores>& patients) {
    std::vector<double> accuracy;
    for (const ImageScores& patient : patients) accuracy.push_back(patient.counts.PixelAccuracy());
    for (int c = 0; c <= Classes(); ++c) {
      const int of = c < Classes() ? c : -1;
      std::vector<std::string> row =
          Start("macro", "", "", of, result_.test.size(), of < 0 ? Cell(core::Mean(accuracy)) : "");
      for (const SegmentationMeasure& measure : eval::Measures()) {
        row.push_back(Cell(eval::Macro(measure, patients, of, background_)));
      }
      End(std::move(row));
    }
  }

  std::string Text() && { return std::move(text_); }

 private:
  int Classes() const { return static_cast<int>(result_.classes.size()); }
  std::vector<std::string> Start(const std::string& level, const std::string& name,
                                 const std::string& patient, int c, size_t images,
                                 const std::string& accuracy) const {
    return {level,
            name,
            level == "micro" ? "" : patient,
            c < 0 ? "mean" : result_.classes[static_cast<size_t>(c)],
            fmt::format("{}", images),
            accuracy};
  }
  void End(std::vector<std::string> row) {
    row.push_back(DistanceUnit(result_));
    row.insert(row.end(), 7, "");
    text_ += core::CsvRow(row);
  }

  const SegmentResult& result_;
  const int background_;
  std::string text_;
};

}  // namespace

std::string ScoreText(double value, int decimals) {
  return std::isnan(value) ? std::string("n/a") : fmt::format("{:.{}f}", value, decimals);
}

std::string MeanOf(int64_t background) { return background < 0 ? "all classes" : "foreground"; }

std::string DistanceUnit(const SegmentResult& result) { return result.mpp > 0 ? "um" : "px"; }

std::string ScoresCsv(const SegmentResult& result) {
  Csv csv(result);
  for (const ImageScores& image : result.test) csv.Add("image", image, 1);
  const bool has_slides = std::any_of(result.test.begin(), result.test.end(),
                                      [](const ImageScores& s) { return !s.slide.empty(); });
  const auto count = [&](auto&& is_in) {
    return static_cast<size_t>(std::count_if(result.test.begin(), result.test.end(), is_in));
  };
  if (has_slides) {
    for (const ImageScores& slide : eval::PoolBySlide(result.test)) {
      csv.Add("slide", slide, count([&](const ImageScores& s) {
                return eval::SlideOf(s) == eval::SlideOf(slide);
              }));
    }
  }
  const auto patients = eval::PoolByPatient(result.test);
  for (const ImageScores& patient : patients) {
    csv.Add("patient", patient,
            count([&](const ImageScores& s) { return s.patient == patient.patient; }));
  }
  csv.Add("micro", eval::PoolScores(result.test, static_cast<int>(result.classes.size())),
          result.test.size());
  csv.AddMacro(patients);
  return std::move(csv).Text();
}

std::string ConfusionCsv(const SegmentResult& result) {
  std::vector<std::string> header = {"truth"};
  header.insert(header.end(), result.classes.begin(), result.classes.end());
  std::string text = core::CsvRow(header);
  const int classes = static_cast<int>(result.classes.size());
  const eval::ConfusionMatrix counts = eval::PoolAll(result.test, classes);
  for (int t = 0; t < classes; ++t) {
    std::vector<std::string> row = {result.classes[static_cast<size_t>(t)]};
    for (int p = 0; p < classes; ++p) row.push_back(fmt::format("{}", counts.count(t, p)));
    text += core::CsvRow(row);
  }
  return text;
}

std::string ScoreSummary(const SegmentResult& result) {
  const auto patients = eval::PoolByPatient(result.test);
  const int background = static_cast<int>(result.background);
  const int classes = static_cast<int>(result.classes.size());
  std::string text = fmt::format(
      "test: {} patients, {} images, best of {} validations at step {}; mean over "
      "patients\n{:<16}",
      patients.size(), result.test.size(), result.curve.size(), result.best_step, "class");
  const std::vector<std::pair<const char*, std::string>> columns = {
      {"dice", "Dice"},
      {"iou", "IoU"},
      {"boundary_f1", "bound.F1"},
      {"hd95", "HD95," + DistanceUnit(result)},
      {"object_dice", "obj.Dice"},
      {"object_f1", "obj.F1"},
      {"aji", "AJI"},
      {"pq", "PQ"}};
  for (const auto& column : columns) text += fmt::format(" {:>9}", column.second);
  for (int c = 0; c <= classes; ++c) {
    const int of = c < classes ? c : -1;
    text += fmt::format("\n{:<19}", of < 0 ? "mean of " + MeanOf(background)
                                           : result.classes[static_cast<size_t>(c)]);
    for (const auto& column : columns) {
      const SegmentationMeasure& measure = eval::FindMeasure(column.first);
      text += fmt::format(" {:>9}", ScoreText(eval::Macro(measure, patients, of, background),
                                              measure.is_distance ? 2 : 4));
    }
  }
  return text + "\n";
}

}  // namespace eosin::segment
