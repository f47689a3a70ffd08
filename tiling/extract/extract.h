// SPDX-License-Identifier: Apache-2.0
// Carries out a plan into a tile store: copies or decodes once, scores, encodes and appends in the
// plan's order, so that the store has the same bytes at any thread count.
//
// A tile whose pixels cannot be read is marked bad and costs nothing else. Tiles over a quality
// limit are left out and reported.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/progress.h"
#include "core/store/tile_store.h"
#include "tiling/extract/plan.h"
#include "tiling/extract/walk.h"
#include "tiling/options.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {

// Planned tiles, a thread, that may be made before the first of them is written.
inline constexpr int64_t kWriteAhead = 64;

struct ExtractResult {
  std::vector<int64_t> kept;           // indices into plan.tiles, as stored
  std::vector<RejectedTile> rejected;  // by quality, in the plan's order
  int64_t bad = 0;
  std::string first_error;  // the reason of the first bad tile
  WalkStats walk;
};

// progress may be null; advanced by planned tiles. Throws SlideError when no tile could be read,
// MachineError from the disk, InterruptedError.
ExtractResult ExtractTiles(const Slide& slide, const Plan& plan, const TileOptions& options,
                           int threads, core::TileStoreWriter& writer, core::Progress* progress);

}  // namespace eosin::tiling
