// SPDX-License-Identifier: Apache-2.0
// Training crops: random place, magnification, flips, quarter turns, colour and stain, the same
// geometry for image and mask. What a batch holds depends on (seed, step, images) alone, not on
// threads: every arm of a study sees the same batches. Torch-free.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "core/base/threads.h"
#include "engine/augment/view_params.h"
#include "segment/data/crop_plan.h"
#include "segment/data/mask_dataset.h"
#include "segment/options.h"

namespace eosin::segment {

// The view of one crop of a width x height image. A crop that would be larger than the image is
// lowered to its shorter side. With a centre (CropPlan) it lies around that pixel, moved inside the
// image where it would leave it.
engine::ViewParams DrawCrop(const SegmentOptions& options, int64_t step, int64_t slot, int width,
                            int height, std::optional<uint32_t> centre = std::nullopt);

struct CropBatch {
  int64_t step = 0;
  std::vector<int64_t> indices;  // (N)
  std::vector<uint8_t> images;   // (N, crop, crop, 3)
  std::vector<uint8_t> masks;    // (N, crop, crop), classes and 255
};

CropBatch MakeCrops(const MaskDataset& data, const std::vector<int64_t>& train,
                    const SegmentOptions& options, int64_t step);

// Makes the batches of steps 0, 1, ... ahead of the training loop. data must outlive it.
class CropLoader {
 public:
  CropLoader(const MaskDataset& data, std::vector<int64_t> train, const SegmentOptions& options);
  ~CropLoader();
  CropLoader(const CropLoader&) = delete;
  CropLoader& operator=(const CropLoader&) = delete;

  // The next step's batch. Rethrows what reading threw.
  CropBatch Next();

 private:
  struct Slot {
    CropBatch batch;
    std::exception_ptr error;
  };
  core::BoundedQueue<std::shared_ptr<Slot>> queue_;
  std::jthread worker_;
};

}  // namespace eosin::segment
