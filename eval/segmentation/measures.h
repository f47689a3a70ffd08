// SPDX-License-Identifier: Apache-2.0
// Every score by name, for tables, files and reports. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "eval/segmentation/image_scores.h"

namespace eosin::eval {

// (eval/study has a Measure of its own.)
struct SegmentationMeasure {
  const char* name;   // column of scores.csv: "boundary_f1"
  const char* title;  // "boundary F1"
  bool higher_is_better;
  bool is_distance;                                   // um (px where no scale is known)
  double (*value)(const ImageScores& scores, int c);  // of class c; NaN = n/a
};

// dice, iou, precision, recall; boundary_f1, hd95, assd; object_dice, object_f1, object_hausdorff,
// aji, pq, sq, rq. What needs detail is n/a without it.
const std::vector<SegmentationMeasure>& Measures();
// Throws ConfigError with the nearest name.
const SegmentationMeasure& FindMeasure(const std::string& name);

// Mean over the classes that are not n/a, `background` left out (-1 = none).
double ClassMean(const SegmentationMeasure& measure, const ImageScores& scores, int background);
// Mean over groups (images, slides, patients) that are not n/a, of class c or (c = -1) of the
// ClassMean.
double Macro(const SegmentationMeasure& measure, const std::vector<ImageScores>& groups, int c,
             int background);

}  // namespace eosin::eval
