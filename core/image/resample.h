// SPDX-License-Identifier: Apache-2.0
// Resampling with anti-aliased filters, the triangle or the cubic: the arithmetic of PIL's
// Image.resize(BILINEAR or BICUBIC) and of torchvision's resize(antialias=True), in float and
// rounded once (theirs round to 8 bits between the two passes; the difference is at most one grey
// level).
#pragma once

#include <cstddef>
#include <vector>

#include "core/image/image.h"

namespace eosin::core {

// kBicubic: Keys' cubic with a = -1/2; it has negative lobes, so results may leave the range.
enum class Filter { kBilinear, kBicubic };

// One axis: output i is the sum over k < count of weight(k, i) * input[start[i] + k]. Weights of an
// output sum to one; indices stay inside [0, input size).
struct ResampleTaps {
  int size = 0;                // outputs
  int count = 0;               // taps of every output; unused ones weigh 0
  std::vector<int> start;      // (size)
  std::vector<float> weights;  // (count, size): tap-major, so that loops over outputs vectorise
  float weight(int k, int i) const { return weights[static_cast<size_t>(k) * size + i]; }
};

// Resamples [begin, begin + length) of an axis with `input` pixels to `output` pixels. The filter
// does not look outside the box, as if it had been cropped first. Throws ConfigError for an empty
// box or one that leaves the axis.
void ComputeTaps(int input, double begin, double length, int output, ResampleTaps* taps,
                 Filter filter = Filter::kBilinear);

// Any number of channels. Throws ConfigError when width or height < 1 or the image is empty.
Image Resize(const Image& image, int width, int height);

struct Box {
  double x = 0, y = 0, width = 0, height = 0;  // source pixels
};
// Crops, then resizes.
Image ResizeBox(const Image& image, const Box& box, int width, int height);

// The picture fitted into side x side pixels, aspect ratio kept; never enlarged.
Image Thumbnail(const Image& image, int side);

}  // namespace eosin::core
