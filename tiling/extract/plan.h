// SPDX-License-Identifier: Apache-2.0
// The plan of a slide's tiles: pure arithmetic on geometry, tissue and options, made and printed
// before a pixel is read at full size. extract.h carries it out.
//
// Scale: a level whose mpp matches the asked one within 1 % is used as it is, and the tile's mpp is
// then that level's. Otherwise tiles are resampled from the next finer level. With `align = tiles`
// size, stride and level are the slide's own (the nearest level, within 5 %). One grid for the
// whole slide starts at the bounds (0,0 when the slide has none; always 0,0 with `align = tiles`);
// positions are computed in double and rounded once; a tile lies wholly inside the bounds and, if
// there are any, wholly inside one region of interest.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tiling/options.h"
#include "tiling/slides/geometry.h"
#include "tiling/tissue/tissue.h"

namespace eosin::tiling {

// Why a place of the grid has no tile; colours of the preview and columns of tiles.csv.
enum class Rejection : uint8_t { kTissue, kExcluded, kBlur, kPen, kWhite, kBlack, kFold };
inline constexpr int kRejections = 7;
const char* RejectionName(Rejection reason);  // "tissue", "excluded", "blur", ...

struct PlannedTile {
  int64_t x, y;  // level 0
  float tissue;  // share, 0-1
};

struct RejectedTile {
  int64_t x, y;
  float tissue;
  Rejection reason;
};

enum class TileMode {
  kCopy,     // a tile is a stored tile: its compressed bytes are copied
  kCrop,     // a tile is a window of the level's pixels
  kResample  // a tile is resampled from the level
};

struct Plan {
  double tile_mpp = 0;  // um per output pixel, as it will be
  TileMode mode = TileMode::kCrop;
  int level = 0;                  // the level read
  double level_downsample = 1;    // level-0 pixels per pixel of that level
  int tile_size = 0;              // output pixels, a side
  double stride = 0;              // output pixels
  double downsample = 1;          // level-0 pixels per output pixel
  int64_t patch_size_level0 = 0;  // side of a tile in level-0 pixels
  // Level-0 pixels. Above 0, resampled tiles stand at its exact multiples, of which their x and y
  // are the nearest whole numbers, so that neighbours meet without a jump.
  double pitch = 0;
  std::vector<PlannedTile> tiles;      // row by row
  std::vector<RejectedTile> rejected;  // grid places left out, row by row
  int64_t outside_roi = 0;             // grid places outside every region of interest

  bool exact() const { return mode != TileMode::kResample; }
};

inline constexpr double kLevelTolerance = 0.01;
inline constexpr double kAlignTolerance = 0.05;
inline constexpr double kUpsampleTolerance = 0.05;

// May a tile lie at this level-0 square? Empty function: everywhere. Rejected as kExcluded.
using TileFilter = std::function<bool(int64_t x, int64_t y, int64_t side)>;

// tissue null: every place is kept with share 1. SlideError: mpp unknown, finer than the slide, no
// level near enough to align to.
Plan MakePlan(const SlideGeometry& slide, const TissueMask* tissue, const TileOptions& options,
              const TileFilter& allowed = {});

// One line for people: "1,234 tiles of 256 px at 0.5 um/px from level 0".
std::string Describe(const Plan& plan);

}  // namespace eosin::tiling
