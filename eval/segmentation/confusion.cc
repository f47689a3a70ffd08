// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/confusion.h"

#include <fmt/format.h>
#include <algorithm>
#include <limits>
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
  // All pairs of bytes first: no branch a pixel, and runs of equal pixels touch one counter each.
  std::vector<int64_t> pairs(size_t{1} << 16, 0);
  for (size_t i = 0; i < truth.size();) {
    size_t end = i + 1;
    while (end < truth.size() && truth[end] == truth[i] && prediction[end] == prediction[i]) ++end;
    pairs[(size_t{truth[i]} << 8) | prediction[i]] += static_cast<int64_t>(end - i);
    i = end;
  }
  for (int t = 0; t < 256; ++t) {
    if (t == ignore_) continue;
    for (int p = 0; p < 256; ++p) {
      const int64_t count = pairs[(static_cast<size_t>(t) << 8) | static_cast<size_t>(p)];
      if (count == 0) continue;
      if (t >= classes_ || p >= classes_) {
        throw core::DataError(fmt::format("class {} is outside 0-{}", std::max(t, p), classes_ - 1),
                              "map mask values to classes with mask.map");
      }
      counts_[index(t, p)] += count;
    }
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

int64_t ConfusionMatrix::predicted_total(int c) const {
  int64_t sum = 0;
  for (int t = 0; t < classes_; ++t) sum += count(t, c);
  return sum;
}

ClassScores ConfusionMatrix::Scores(int c) const {
  const int64_t truth = truth_total(c), predicted = predicted_total(c);
  const int64_t both = count(c, c);
  // A miss has no predicted pixel to be precise about; n/a would leave it out of the macro mean.
  const double precision = predicted == 0 && truth > 0 ? 0.0 : Ratio(both, predicted);
  return {Ratio(both, truth + predicted - both), Ratio(2 * both, truth + predicted), precision,
          Ratio(both, truth)};
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

}  // namespace eosin::eval
