// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation_metrics.h"

#include <fmt/format.h>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "core/base/error.h"
#include "core/stats/summary.h"

namespace eosin::eval {
namespace {

double Ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                   : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

const char* MetricName(Metric metric) { return metric == Metric::kDice ? "dice" : "iou"; }

ConfusionMatrix::ConfusionMatrix(int classes, int ignore)
    : classes_(classes),
      ignore_(ignore),
      counts_(static_cast<size_t>(classes) * static_cast<size_t>(classes), 0) {}

void ConfusionMatrix::Add(std::span<const uint8_t> truth, std::span<const uint8_t> prediction) {
  if (truth.size() != prediction.size()) {
    throw core::DataError(fmt::format("a truth of {} pixels was compared with a prediction of {}",
                                      truth.size(), prediction.size()),
                          "both must have the size of the image");
  }
  for (size_t i = 0; i < truth.size(); ++i) {
    if (truth[i] == ignore_) continue;
    if (truth[i] >= classes_ || prediction[i] >= classes_) {
      throw core::DataError(
          fmt::format("class {} is outside 0-{}", std::max(truth[i], prediction[i]), classes_ - 1),
          "map mask values to classes with mask.map");
    }
    ++counts_[index(truth[i], prediction[i])];
  }
}

void ConfusionMatrix::AddCount(int truth, int predicted, int64_t count) {
  counts_[index(truth, predicted)] += count;
}

void ConfusionMatrix::Merge(const ConfusionMatrix& other) {
  if (other.classes_ != classes_) {
    throw core::DataError(
        fmt::format("counts of {} and of {} classes cannot be pooled", classes_, other.classes_),
        "score all images with the same classes");
  }
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
}

int64_t ConfusionMatrix::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), int64_t{0});
}

int64_t ConfusionMatrix::truth_total(int c) const {
  int64_t sum = 0;
  for (int p = 0; p < classes_; ++p) sum += count(c, p);
  return sum;
}

ClassScores ConfusionMatrix::Scores(int c) const {
  int64_t predicted = 0;
  for (int t = 0; t < classes_; ++t) predicted += count(t, c);
  const int64_t truth = truth_total(c);
  const int64_t both = count(c, c);
  return {Ratio(both, truth + predicted - both), Ratio(2 * both, truth + predicted),
          Ratio(both, predicted), Ratio(both, truth)};
}

double ConfusionMatrix::Score(Metric metric, int c) const {
  const ClassScores scores = Scores(c);
  return metric == Metric::kDice ? scores.dice : scores.iou;
}

double ConfusionMatrix::PixelAccuracy() const {
  int64_t right = 0;
  for (int c = 0; c < classes_; ++c) right += count(c, c);
  return Ratio(right, total());
}

double ConfusionMatrix::MeanScore(Metric metric, int skip) const {
  std::vector<double> scores;
  for (int c = 0; c < classes_; ++c) {
    if (c != skip) scores.push_back(Score(metric, c));
  }
  return core::Mean(scores);
}

std::vector<ImageCounts> PoolByPatient(const std::vector<ImageCounts>& images) {
  std::map<std::string, ConfusionMatrix> pooled;
  for (const ImageCounts& image : images) {
    pooled.try_emplace(image.patient, image.counts.classes()).first->second.Merge(image.counts);
  }
  std::vector<ImageCounts> patients;
  for (const auto& [patient, counts] : pooled) patients.push_back({patient, patient, counts});
  return patients;
}

ConfusionMatrix PoolAll(const std::vector<ImageCounts>& images, int classes) {
  ConfusionMatrix pooled(classes);
  for (const ImageCounts& image : images) pooled.Merge(image.counts);
  return pooled;
}

double MacroScore(const std::vector<ImageCounts>& patients, Metric metric, int c, int skip) {
  std::vector<double> scores;
  for (const ImageCounts& patient : patients) {
    scores.push_back(c >= 0 ? patient.counts.Score(metric, c)
                            : patient.counts.MeanScore(metric, skip));
  }
  return core::Mean(scores);
}

}  // namespace eosin::eval
