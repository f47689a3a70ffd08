// SPDX-License-Identifier: Apache-2.0
// The decode-once engine: from a plan to pixels in memory.
//
// Stored tiles are walked in file order (row-major); each tile that a planned tile touches is
// decoded exactly once, whatever the grid, overlap or scale, and freed when the last planned tile
// that needs it is made. Memory is about one row of stored tiles (WorkingSet).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/image/image.h"
#include "tiling/extract/plan.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {

struct WalkStats {
  int64_t tiles_covered = 0;  // stored tiles that a planned tile touches
  int64_t tiles_decoded = 0;
  int64_t bad_tiles = 0;    // of those decoded
  std::string first_error;  // of a bad stored tile
};

// Called once a planned tile, on any thread, in any order. `tile` is null when a stored tile that it
// needs is bad (the reason in `error`); it is only valid during the call.
using TileSink = std::function<void(int thread, int64_t index, const core::Image* tile,
                                    const std::string& error)>;

// Threads wait at `may_start(first planned tile a stored tile completes)` before they decode, so that
// a consumer can bound how far the walk runs ahead; may be empty. Returning false ends the walk.
using WalkGate = std::function<bool(int64_t index)>;

// threads >= 1, the caller's among them. Rethrows what the sink throws. Modes kCrop and kResample.
WalkStats WalkTiles(const Slide& slide, const Plan& plan, int threads, const TileSink& sink,
                    const WalkGate& gate = {});

// Bytes of decoded stored tiles that the walk holds at most at a time, from simulating it.
int64_t WorkingSet(const SlideGeometry& slide, const Plan& plan);

}  // namespace eosin::tiling
