// SPDX-License-Identifier: Apache-2.0
// kNN accuracy of the encoder while it trains, on the labelled images of the training data: whole
// groups (slides, patients) are asked about with the other groups as the bank. It guides a run; an
// honest test needs data that pretraining did not see.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/image_source.h"
#include "engine/models/resnet.h"
#include "engine/training/device.h"
#include "engine/training/input.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

struct KnnSplit {
  std::vector<int64_t> bank, queries;  // image indices
  std::vector<int64_t> sample;         // without labels: images to measure the features on
  std::string problem;                 // why there is no kNN, in plain words; empty when there is
};

// Draws knn_holdout of the groups with labels by the seed (at least one, never all); at most
// knn_images. Without usable labels: at most kFeatureSample images, drawn by the seed.
inline constexpr int64_t kFeatureSample = 2048;
KnnSplit SplitForKnn(const PretrainOptions& options, const engine::ImageSource& source);

struct OnlineScore {
  std::optional<double> knn;  // accuracy, 0..1
  // Of the encoder's features in evaluation mode: eval/analysis/spread.h.
  double rank_me = 0, feature_std = 0, dead_share = 0;
};

// Embeds the split's images. Images that do not decode are left out (and of the split, from then
// on).
OnlineScore ScoreOnline(const PretrainOptions& options, KnnSplit* split, engine::ResNet encoder,
                        const engine::ImageSource& source, const engine::Compute& compute,
                        const engine::Normalization& normalization, int workers);

}  // namespace eosin::pretrain
