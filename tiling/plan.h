// SPDX-License-Identifier: Apache-2.0
// The plan of a slide's tiles: pure arithmetic on geometry, tissue and options, made and printed
// before a pixel is read at full size. Executors (extract.h) carry it out.
//
// Scale: a level whose mpp matches the asked one within 1 % is used as it is, and the tile's mpp is
// then that level's. Otherwise tiles are resampled from the next finer level. One grid for the
// whole slide starts at the bounds (0,0 when the slide has none); positions are computed in double
// and rounded once; a tile lies wholly inside the bounds and, if there are any, wholly inside one
// region of interest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tiling/options.h"
#include "tiling/slides/slide.h"
#include "tiling/tissue.h"

namespace eosin::tiling {

struct PlannedTile {
  int64_t x, y;  // level 0
  float tissue;  // share, 0-1
};

struct Plan {
  double tile_mpp = 0;                // um per output pixel, as it will be
  int level = 0;                      // the level read
  bool exact = false;                 // that level's pixels are the tiles', no resampling
  int read_size = 0;                  // pixels of that level, a side
  int tile_size = 0;                  // output pixels, a side
  double downsample = 1;              // level-0 pixels per output pixel
  int64_t patch_size_level0 = 0;      // side of a tile in level-0 pixels
  std::vector<PlannedTile> tiles;     // row by row
  std::vector<PlannedTile> rejected;  // grid places with too little tissue
  int64_t outside_roi = 0;            // grid places outside every region of interest
  int64_t predicted_bytes = 0;        // of the store, from the encoding's usual rate
};

inline constexpr double kLevelTolerance = 0.01;
inline constexpr double kUpsampleTolerance = 0.05;

// tissue null: every place is kept with share 1. SlideError: mpp unknown, or finer than the slide.
Plan MakePlan(const SlideGeometry& slide, const TissueMask* tissue, const TileOptions& options);

// One line for people: "1,234 tiles of 256 px at 0.5 um/px from level 0, about 40 MB".
std::string Describe(const Plan& plan);

}  // namespace eosin::tiling
