// SPDX-License-Identifier: Apache-2.0
// A whole slide, shrunk: what tissue is found on and previews are drawn on.
#pragma once

#include "core/image/image.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {

// Each pixel is the mean of block x block pixels of `level`.
struct Overview {
  core::Image image;
  core::Image unknown;  // 1 channel, 255 where most pixels could not be read; empty when all could
  double scale = 1;     // level-0 pixels per pixel of the image (x and y alike)
  int64_t bad_tiles = 0;
};

// Means of block x block pixels; cells at the right and lower edge average what there is of them.
core::Image ShrinkByMean(const core::Image& image, int block);

// About `mpp` um per pixel, finer if the slide has nothing to average to it exactly, and never over
// `max_side` pixels a side (4096 hold 33 mm at 8 um/px). Every stored tile of the level is decoded
// once (scaled DCT where it is a whole part of the block); memory is a tile a thread, a row of sums
// and the result. Pixels do not depend on `threads`. SlideError when no part can be read.
Overview ReadOverview(const Slide& slide, double mpp, int threads = 1, int max_side = 4096);

}  // namespace eosin::tiling
