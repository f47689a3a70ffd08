// SPDX-License-Identifier: Apache-2.0
// The scores of one model as files and as text. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "segment/train/result.h"

namespace eosin::segment {

// "0.8512", "n/a".
std::string ScoreText(double value, int decimals = 4);
// What a mean over classes is of: "foreground", or "all classes" where background is -1.
std::string MeanOf(int64_t background);
// "um" or "px".
std::string DistanceUnit(const SegmentResult& result);

// One row a level, name and class:
//   level  image, slide (where images have slides), patient: sums of their images; micro: sums of
//          all; macro: mean over patients
//   class  every class, and mean = over the classes but background that are not n/a
// Columns: images, pixel_accuracy (mean rows), every measure of eval::Measures, the unit of
// distances, truth_pixels, objects of truth and prediction, the images in which the class was
// missed (pixels in the truth only) or spurious (in the prediction only), and the same of its
// objects (objects_missed, objects_spurious: predicted ones below eval.min_area are none). n/a is
// an empty cell.
std::string ScoresCsv(const SegmentResult& result);

// Pixels of all test images: a row a true class, a column a predicted one.
std::string ConfusionCsv(const SegmentResult& result);

// Macro scores by class, for the terminal.
std::string ScoreSummary(const SegmentResult& result);

}  // namespace eosin::segment
