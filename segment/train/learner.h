// SPDX-License-Identifier: Apache-2.0
// The network side of a segmentation run: network, optimiser with a rate a stage, freezing by step,
// loss. What is frozen up to a depth runs without autograd, and its outputs can be kept and given
// back instead of images.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/training/device.h"
#include "engine/training/optimizer.h"
#include "engine/training/schedule.h"
#include "segment/model/deeplab.h"
#include "segment/model/freeze.h"
#include "segment/options.h"

namespace eosin::segment {

class Learner {
 public:
  // net: on the CPU; moves to the device. class_weights: as ClassWeights gives them.
  Learner(const SegmentOptions& options, const engine::Compute& compute, SegmentationNet net,
          const std::vector<double>& class_weights);

  SegmentationNet& net() { return net_; }
  engine::Optimizer& optimizer() { return *optimizer_; }
  const FrozenStages& frozen() const { return *frozen_; }
  // Parameters that no step changes.
  int64_t always_frozen() const { return always_frozen_; }

  // Freezes what is frozen at this step and puts the network into training mode. To be called
  // before the first step, after an evaluation, and at every step (then it is free).
  void Prepare(int64_t step);

  // What the frozen stages give for images (N, 3, H, W): the outputs of stages 0 .. depth - 1 that
  // anything later reads, the others undefined; the images themselves where nothing is frozen.
  std::vector<at::Tensor> Features(const at::Tensor& input);

  // Loss of one batch, a scalar with its graph. target: (N, H, W) int64. Dropout is drawn by (seed,
  // step), so that arms and restarts agree.
  at::Tensor Loss(const std::vector<at::Tensor>& features, const at::Tensor& target, int64_t step);

  // Backward, clipping, one update at the rate of `step`.
  void Update(const at::Tensor& loss, int64_t step);
  double RateAt(int64_t step) const { return rate_.At(step); }

 private:
  const SegmentOptions options_;
  const engine::Compute compute_;
  SegmentationNet net_{nullptr};
  at::Tensor class_weights_;
  FreezeSchedule schedule_;
  engine::LrSchedule rate_;
  std::unique_ptr<FrozenStages> frozen_;
  int64_t always_frozen_ = 0;
  std::unique_ptr<engine::Optimizer> optimizer_;
};

}  // namespace eosin::segment
