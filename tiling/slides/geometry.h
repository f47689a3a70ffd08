// SPDX-License-Identifier: Apache-2.0
// What a plan needs to know of a slide: sizes, scale and how its levels are cut into stored tiles.
// No handle, no pixels.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace eosin::tiling {

// One level of the pyramid and the tiles it is stored in (row-major from the upper left; those at
// the right and lower edge reach beyond the level). Slides read through OpenSlide are cut into
// blocks of our choice instead.
struct SlideLevel {
  int64_t width = 0, height = 0;
  double downsample = 1;  // level-0 pixels per pixel of this level, not rounded
  int tile_width = 0, tile_height = 0;
  bool jpeg_tiles = false;  // tiles are JPEG streams that can be copied (Slide::StoresJpeg)

  int64_t columns() const { return (width + tile_width - 1) / tile_width; }
  int64_t rows() const { return (height + tile_height - 1) / tile_height; }
  int64_t tile_count() const { return columns() * rows(); }
};

// um per level-0 pixel and where that came from.
struct SlideMpp {
  double x = 0, y = 0;
  std::string source;  // "openslide.mpp-x", "tiff.XResolution", "objective power", "override", ...
  std::string doubt;   // why a scale found in the file was not believed; may be empty
  bool known() const { return x > 0 && y > 0; }
  double mean() const;  // geometric
};

struct SlideGeometry {
  int64_t width = 0, height = 0;    // level 0
  std::array<int64_t, 4> bounds{};  // x, y, width, height; the whole slide when not given
  std::vector<SlideLevel> levels;   // finest first
  SlideMpp mpp;
};

}  // namespace eosin::tiling
