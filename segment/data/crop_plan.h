// SPDX-License-Identifier: Apache-2.0
// Which images a step's crops are of and where they lie. Uniform over the image; or, for a share
// crop.foreground of the crops, centred on a foreground pixel (Isensee et al., nnU-Net, Nature
// Methods 18, 2021: a third of the patches); or, with crop.balance, centred on a pixel of a class
// that is drawn first, in an image that has it. Draws are keyed by seed, step and slot: the same on
// any number of threads and after any restart. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "segment/data/mask_dataset.h"
#include "segment/options.h"

namespace eosin::segment {

// Images of one step: epochs over `train` (each epoch in an order of its own) are strung together
// and cut into full batches, so that a remainder cannot happen.
std::vector<int64_t> BatchIndices(const std::vector<int64_t>& train, int64_t batch, uint64_t seed,
                                  int64_t step);

class CropPlan {
 public:
  // Where the options look at classes, every mask is read once (MaskDataset::ClassIndex). Throws
  // DataError when there is no pixel to train on. data must outlive it.
  CropPlan(const MaskDataset& data, const std::vector<int64_t>& train,
           const SegmentOptions& options);

  // BatchIndices, or with crop.balance images drawn from those that have the drawn class.
  std::vector<int64_t> Indices(int64_t step) const;
  // The pixel (y * width + x of the image as read) that the crop of image `index` in this slot is
  // centred on; nothing = anywhere.
  std::optional<uint32_t> Centre(int64_t step, int64_t slot, int64_t index) const;

 private:
  size_t DrawClass(int64_t step, int64_t slot) const;

  const std::vector<int64_t>& train_;
  const int64_t batch_;
  const uint64_t seed_;
  const double foreground_;
  const int64_t background_;
  const std::vector<ImageClasses>* classes_ = nullptr;  // null: nothing looks at classes
  std::vector<double> class_share_;                     // balance: cumulative, by class
  std::vector<std::vector<int64_t>> with_class_;        // balance: images of `train` by class
};

}  // namespace eosin::segment
