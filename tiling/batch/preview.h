// SPDX-License-Identifier: Apache-2.0
// Pictures of a slide's tiling for people: thumbnail, tissue contours, kept and rejected tiles.
//
// A pixel of each is the same part of the slide: level-0 x = pixel x * (slide width / picture
// width). Below the grid picture a strip of at most a few lines names the colours that occur, with
// counts. Tiles are outlined by one pixel; tiles under 3 px are filled with a translucent colour
// instead. JPEG quality is 80, or lower until the three take at most 250 kB. Drawings on small
// overviews are enlarged by a whole number.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/image/codec.h"
#include "tiling/extract/plan.h"
#include "tiling/tissue/overview.h"
#include "tiling/tissue/tissue.h"

namespace eosin::tiling {

struct Previews {
  core::Bytes thumbnail;  // JPEG, at most kPreviewSide pixels a side
  core::Bytes tissue;     // contours in green; empty without a mask
  core::Bytes grid;       // contours, kept tiles in blue, rejected ones coloured by reason
};

inline constexpr int kPreviewSide = 1024;

// Colours in the grid, RGB.
inline constexpr std::array<uint8_t, 3> kKeptColour = {20, 60, 230};
inline constexpr std::array<uint8_t, 3> kBadColour = {230, 20, 30};
std::array<uint8_t, 3> RejectionColour(Rejection reason);

// tissue may be null. rejected: all, the plan's and those by quality; bad: level-0 corners of tiles
// that could not be read (drawn in red).
Previews DrawPreviews(const Overview& overview, const TissueMask* tissue, const Plan& plan,
                      const std::vector<PlannedTile>& kept,
                      const std::vector<RejectedTile>& rejected,
                      const std::vector<PlannedTile>& bad);

}  // namespace eosin::tiling
