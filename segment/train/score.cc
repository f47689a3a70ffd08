// SPDX-License-Identifier: Apache-2.0
#include "segment/train/score.h"

namespace eosin::segment {

eval::ImageScores ScorePrediction(const MaskDataset& data, int64_t index, const MaskedImage& pair,
                                  const core::Image& prediction, const eval::ScoreOptions& options,
                                  ScoreDetail detail) {
  eval::MaskPair masks;
  masks.width = pair.mask.width;
  masks.height = pair.mask.height;
  masks.truth = pair.mask.pixels;
  masks.prediction = prediction.pixels;
  masks.instances = pair.instances;
  masks.classes = data.classes();
  masks.background = static_cast<int>(data.options().background);
  masks.ignore = kIgnoredPixel;
  masks.mpp = data.ReadMpp();
  const MaskItem& item = data.item(index);
  if (detail == ScoreDetail::kPixels) {
    return {item.name, item.patient, eval::CountPixels(masks), item.slide, {}};
  }
  eval::ImageScores scores = eval::ScoreMasks(masks, options);
  scores.name = item.name;
  scores.patient = item.patient;
  scores.slide = item.slide;
  return scores;
}

}  // namespace eosin::segment
