// SPDX-License-Identifier: Apache-2.0
// What carrying out a plan will cost, before doing it.
#pragma once

#include <cstdint>

#include "tiling/extract/plan.h"
#include "tiling/options.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {

struct Prediction {
  int64_t tile_bytes = 0;   // of tiles/bytes
  int64_t store_bytes = 0;  // of the whole file, without pictures
  double seconds = 0;       // of wall time
};

// Copied tiles: exact, from the slide's byte counts. Others: a few dozen tiles spread over the plan
// are made and timed, and scaled by the compressed bytes of the stored tiles each covers (a ratio
// estimate; by count where the slide does not tell bytes). Meant to be within 10 %.
Prediction Predict(const Slide& slide, const Plan& plan, const TileOptions& options, int threads);

}  // namespace eosin::tiling
