// SPDX-License-Identifier: Apache-2.0
// Pixel scores from confusion counts. A class absent from truth and prediction is n/a (NaN) and
// left out of means, never 0 or 1. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace eosin::eval {

// NaN = n/a.
struct ClassScores {
  double iou, dice, precision, recall;
};

enum class Metric { kDice, kIou };
const char* MetricName(Metric metric);  // "dice", "iou"

class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(int classes, int ignore = 255);

  // Counts pixels; truth == ignore is left out. Both spans have one byte a pixel; other values
  // outside [0, classes) throw DataError.
  void Add(std::span<const uint8_t> truth, std::span<const uint8_t> prediction);
  void AddCount(int truth, int predicted, int64_t count);
  void Merge(const ConfusionMatrix& other);

  int classes() const { return classes_; }
  int64_t count(int truth, int predicted) const { return counts_[index(truth, predicted)]; }
  int64_t total() const;
  int64_t truth_total(int c) const;
  int64_t predicted_total(int c) const;

  // dice = 2TP / (2TP + FP + FN), iou = TP / (TP + FP + FN): n/a where the class is in neither.
  // precision = TP / (TP + FP): 0 where the class is in the truth and never predicted
  // (scikit-learn's default), n/a where it is in neither; recall: n/a where never in the truth.
  ClassScores Scores(int c) const;
  double PixelAccuracy() const;
  // Mean over the classes that are not n/a; class `skip` (background) is left out; -1 = none.
  double MeanScore(Metric metric, int skip = -1) const;
  double Score(Metric metric, int c) const;

 private:
  size_t index(int truth, int predicted) const {
    return static_cast<size_t>(truth) * static_cast<size_t>(classes_) +
           static_cast<size_t>(predicted);
  }
  int classes_, ignore_;
  std::vector<int64_t> counts_;  // [truth][predicted]
};

}  // namespace eosin::eval
