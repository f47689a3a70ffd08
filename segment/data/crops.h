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

// The view of one crop of a width x height image. With a centre (CropPlan) it lies around that
// pixel, moved inside the image where it would leave it. A crop larger than the image keeps its
// scale and reaches over the edge (crop_x or crop_y below 0): what lies there is the mirrored
// image, as in PredictImage.
engine::ViewParams DrawCrop(const SegmentOptions& options, int64_t step, int64_t slot, int width,
                            int height, std::optional<uint32_t> centre = std::nullopt);

struct CropBatch {
  int64_t step = 0;
  std::vector<int64_t> indices;  // (N)
  std::vector<uint8_t> images;   // (N, crop, crop, 3)
  std::vector<uint8_t> masks;    // (N, crop, crop), classes and 255
};

// What the crop of slot `slot` of a step is drawn by: by itself, or with options.views by the image
// and how often it was used before, modulo views: then each image has that many crops.
struct CropKey {
  int64_t step = 0, slot = 0;
  bool operator==(const CropKey&) const = default;
};
CropKey KeyOf(const SegmentOptions& options, int64_t train_images, int64_t image, int64_t step,
              int64_t slot);

CropBatch MakeCrops(const MaskDataset& data, const CropPlan& plan, const SegmentOptions& options,
                    int64_t step);
CropBatch MakeCrops(const MaskDataset& data, const std::vector<int64_t>& train,
                    const SegmentOptions& options, int64_t step);

// One crop of each of `indices`, drawn by its key.
CropBatch MakeCropsOf(const MaskDataset& data, const CropPlan& plan, const SegmentOptions& options,
                      const std::vector<int64_t>& indices, const std::vector<CropKey>& keys);

// Makes the batches of steps first, first + 1, ... ahead of the training loop. data must outlive
// it.
class CropLoader {
 public:
  CropLoader(const MaskDataset& data, std::vector<int64_t> train, const SegmentOptions& options,
             int64_t first = 0);
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
