// SPDX-License-Identifier: Apache-2.0
// Pictures of a slide's tiling for people: thumbnail, tissue contours, kept and rejected tiles.
#pragma once

#include "core/image/codec.h"
#include "tiling/plan.h"
#include "tiling/slides/slide.h"
#include "tiling/tissue.h"

namespace eosin::tiling {

struct Previews {
  core::Bytes thumbnail;  // JPEG, at most kPreviewSide pixels a side
  core::Bytes tissue;     // contours in green; empty without a mask
  core::Bytes grid;       // contours, kept tiles in blue, rejected ones in grey
};

inline constexpr int kPreviewSide = 1400;

// tissue may be null.
Previews DrawPreviews(const Overview& overview, const TissueMask* tissue, const Plan& plan);

}  // namespace eosin::tiling
