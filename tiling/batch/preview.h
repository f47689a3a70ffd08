// SPDX-License-Identifier: Apache-2.0
// Pictures of a slide's tiling for people: thumbnail, tissue contours, kept and rejected tiles.
#pragma once

#include <array>

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

// Colour of a rejected tile in the grid, RGB.
std::array<uint8_t, 3> RejectionColour(Rejection reason);

// tissue may be null. rejected: all, the plan's and those by quality; bad: level-0 corners of tiles
// that could not be read (drawn in red).
Previews DrawPreviews(const Overview& overview, const TissueMask* tissue, const Plan& plan,
                      const std::vector<PlannedTile>& kept,
                      const std::vector<RejectedTile>& rejected,
                      const std::vector<PlannedTile>& bad);

}  // namespace eosin::tiling
