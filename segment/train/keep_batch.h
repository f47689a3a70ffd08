// SPDX-License-Identifier: Apache-2.0
// Keeps the crops of a step that failed, so that a person can look at them. Torch-free.
#pragma once

#include <filesystem>

#include "segment/data/crops.h"

namespace eosin::segment {

// `folder` anew: <slot>-<image>.png and <slot>-<image>-mask.png as the network saw them, and
// batch.json (step, loss, rate, images by slot).
void KeepBatch(const std::filesystem::path& folder, const CropBatch& batch, const MaskDataset& data,
               const SegmentOptions& options, double loss, double rate);

}  // namespace eosin::segment
