// SPDX-License-Identifier: Apache-2.0
// Outputs of the frozen stages for every fixed crop of the training images (options.views), made
// once before training and kept on the device with the crops' masks: steps then need no images and
// no frozen stages. Made by the same arithmetic as a step; which crops are computed side by side is
// fixed, so that a run gives the same bits after any restart.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/training/input.h"
#include "segment/data/crops.h"
#include "segment/train/learner.h"

namespace eosin::segment {

class FeatureCache {
 public:
  // For the steps below `steps`. Throws ConfigError with the size needed when it is above
  // options.cache_gb; InterruptedError on SIGINT. data and learner must outlive it.
  FeatureCache(const SegmentOptions& options, const MaskDataset& data,
               const std::vector<int64_t>& train, int64_t steps, const engine::Compute& compute,
               const engine::Normalization& normalization, Learner& learner);

  struct Batch {
    std::vector<at::Tensor> features;  // for Learner::Loss
    at::Tensor target;                 // (N, crop, crop) int64
  };
  Batch At(int64_t step) const;

  int64_t crops() const { return static_cast<int64_t>(crops_.size()); }
  double gigabytes() const { return gigabytes_; }

 private:
  struct Crop {
    std::vector<at::Tensor> features;  // (1, C, h, w) each, or undefined
    at::Tensor mask;                   // (1, crop, crop) uint8
  };
  size_t PlaceOf(int64_t image, int64_t view) const;

  const SegmentOptions options_;
  const std::vector<int64_t> train_;
  std::vector<size_t> rank_;  // by image of the data set: its place in train_
  std::vector<Crop> crops_;   // view by view, each in train_'s order
  double gigabytes_ = 0;
};

}  // namespace eosin::segment
