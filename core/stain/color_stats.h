// SPDX-License-Identifier: Apache-2.0
// Mean and standard deviation of a picture's colours in a colour space: what RandStainNA (Shen et
// al., MICCAI 2022, arXiv 2206.12694) transfers between pictures.
//
// Spaces: kLab is CIELAB as in tile_stain.h (L 0-100); kHsv has hue, saturation and value in 0..1
// (as scikit-image); kHed is Ruifrok's H, E, DAB in natural optical density (hed.h).
#pragma once

#include <cstdint>

#include "core/image/image.h"

namespace eosin::core {

enum class StainSpace : uint8_t { kLab = 0, kHsv = 1, kHed = 2 };
inline constexpr int kStainSpaces = 3;
// "lab", "hsv", "hed".
const char* StainSpaceName(StainSpace space);

struct ColorStats {
  float mean[3] = {};
  float std[3] = {};  // population standard deviation
};

// rgb: not empty. All pixels count.
ColorStats MeasureColors(const Image& rgb, StainSpace space);

}  // namespace eosin::core
