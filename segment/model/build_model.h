// SPDX-License-Identifier: Apache-2.0
// The network of a segmentation run at its start: initialised by the run seed, then the backbone
// from a weights file, if one is named. The head depends on the seed alone: the same in every arm.
#pragma once

#include "engine/training/input.h"
#include "segment/model/deeplab.h"
#include "segment/options.h"

namespace eosin::segment {

struct BuiltModel {
  DeepLabV3 net{nullptr};               // on the CPU
  engine::Normalization normalization;  // what the weights file was trained with; else ImageNet's
  double matched = 0;                   // share of the backbone that came from the file, 0..1
};

DeepLabOptions NetOptions(const SegmentOptions& options);

// Throws WeightsError when options.init is missing or does not fit the backbone.
BuiltModel BuildModel(const SegmentOptions& options);

}  // namespace eosin::segment
