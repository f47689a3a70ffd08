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
  std::string problem;                 // why there is none, in plain words; empty when there is
};

// Draws knn_holdout of the groups with labels by the seed (at least one, never all).
KnnSplit SplitForKnn(const PretrainOptions& options, const engine::ImageSource& source);

// Accuracy 0..1.
double OnlineKnn(const PretrainOptions& options, const KnnSplit& split, engine::ResNet encoder,
                 const engine::ImageSource& source, const engine::Compute& compute,
                 const engine::Normalization& normalization, int workers);

}  // namespace eosin::pretrain
