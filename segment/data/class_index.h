// SPDX-License-Identifier: Apache-2.0
// How many pixels of each class every image has, and where some of them are: what splits, class
// weights and the choice of crops need to know. Small: at most kCentres positions an image and
// class. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "core/image/image.h"

namespace eosin::segment {

inline constexpr int kCentres = 512;

struct ImageClasses {
  std::vector<int64_t> pixels;                 // [class]
  std::vector<std::vector<uint32_t>> centres;  // [class]: y * width + x, ascending
  int64_t ignored = 0;
};

// mask: classes below `classes`, 255 = ignored. Where a class has more than kCentres pixels, one is
// drawn from each of kCentres equal stretches of its pixels in reading order, by Philox keyed with
// the image's number: the same on every machine.
ImageClasses IndexClasses(const core::Image& mask, int classes, int64_t image);

}  // namespace eosin::segment
