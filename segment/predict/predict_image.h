// SPDX-License-Identifier: Apache-2.0
// Class of every pixel of an image of any size: windows of the training crop's size with overlap,
// probabilities averaged where windows meet. Windows keep the training size because the image-pool
// branch of the network makes every pixel depend on its whole window. An image smaller than a
// window is mirrored up to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/image/image.h"
#include "engine/training/device.h"
#include "engine/training/input.h"
#include "segment/model/deeplab.h"

namespace eosin::segment {

struct WindowOptions {
  int64_t window = 256;   // px
  double overlap = 0.25;  // share of a window covered by its neighbour too
  int64_t batch = 8;      // windows a forward pass
};

// Starts of the windows along an axis of `length` pixels: evenly spaced, the first at 0, the last
// flush with the end, neighbours overlapping by at least the given share.
std::vector<int64_t> WindowStarts(int64_t length, int64_t window, double overlap);

// image: RGB. Returns a 1-channel image of class indices of the same size. The net must be in
// evaluation mode on compute.device; no gradients are recorded.
core::Image PredictImage(SegmentationNet& net, const core::Image& image,
                         const WindowOptions& options, const engine::Compute& compute,
                         const engine::Normalization& normalization);

}  // namespace eosin::segment
