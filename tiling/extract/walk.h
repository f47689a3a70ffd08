// SPDX-License-Identifier: Apache-2.0
// The decode-once engine: from a plan to pixels in memory.
//
// Stored tiles are walked in file order (row-major); each tile that a planned tile touches is
// decoded exactly once, whatever the grid, overlap or scale, and freed when the last planned tile
// that needs it is made. Memory is about one row of stored tiles (WorkingSet). The pixels of a tile
// depend on the slide and the plan alone, not on threads.
//
// Resampled tiles: core::MosaicResampler on the whole level, cut off at the level's edge only; at
// ratios of four and more from tiles decoded at a smaller size (coverage.h).
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "core/image/image.h"
#include "tiling/extract/plan.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {

struct WalkStats {
  int64_t tiles_covered = 0;  // stored tiles that a planned tile touches
  int64_t tiles_decoded = 0;
  int64_t bad_tiles = 0;    // of those decoded
  std::string first_error;  // of the first bad stored tile in file order
};

// Called once a planned tile, on any thread, in any order. `tile` is null when a stored tile that
// it needs is bad (the reason in `error`); it is only valid during the call.
using TileSink = std::function<void(int thread, int64_t index, const core::Image* tile,
                                    const std::string& error)>;

// Bounds how far the walk runs ahead of a consumer. Before a stored tile is decoded its thread
// calls the gate with the first planned tile that no earlier stored tile completes, and waits there
// as long as the gate does: all planned tiles before that one will reach the sink without this
// thread. False ends the walk, as must a stop of the token (a thread failed). May be empty.
using WalkGate = std::function<bool(int64_t index, const std::stop_token& stop)>;

// threads >= 1, the caller's among them. Rethrows what the sink or the gate throws;
// InterruptedError. kCopy is walked as kCrop.
WalkStats WalkTiles(const Slide& slide, const Plan& plan, int threads, const TileSink& sink,
                    const WalkGate& gate = {});

// Bytes of decoded stored tiles that a walk of one thread holds at most at a time, from simulating
// it; each further thread may add one tile.
int64_t WorkingSet(const SlideGeometry& slide, const Plan& plan);

}  // namespace eosin::tiling
