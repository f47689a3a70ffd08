// SPDX-License-Identifier: Apache-2.0
// One predicted image of a MaskDataset scored. Torch-free.
#pragma once

#include <cstdint>

#include "core/image/image.h"
#include "eval/segmentation/image_scores.h"
#include "segment/data/mask_dataset.h"

namespace eosin::segment {

// kPixels: counts alone, what choosing a model by validation needs. kAll: boundaries and objects
// too (eval/segmentation); bench_segment_data tells what that costs.
enum class ScoreDetail { kPixels, kAll };

// prediction: classes, 1 channel, the size of pair.image. Distances are in um of the image as read
// where the scale is known, else in px.
eval::ImageScores ScorePrediction(const MaskDataset& data, int64_t index, const MaskedImage& pair,
                                  const core::Image& prediction, const eval::ScoreOptions& options,
                                  ScoreDetail detail);

}  // namespace eosin::segment
