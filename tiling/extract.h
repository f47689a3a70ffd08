// SPDX-License-Identifier: Apache-2.0
// Carries out a plan through OpenSlide: `threads` decoders, each with its own handle, and the
// caller's thread as the only writer. Tiles reach the writer in the plan's order, so the store has
// the same bytes at any thread count. At most a few units of tiles a thread are in memory.
//
// A tile whose pixels cannot be read is marked bad and costs nothing else.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/progress.h"
#include "core/store/tile_store.h"
#include "tiling/options.h"
#include "tiling/plan.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {

struct ExtractResult {
  int64_t written = 0;  // tiles, bad ones included
  int64_t bad = 0;
  std::string first_error;  // OpenSlide's reason for the first bad tile
};

// slide: opened by the caller; further handles are opened from its path. progress may be null.
// Throws SlideError when no tile could be read, MachineError from the disk, InterruptedError.
ExtractResult ExtractTiles(Slide& slide, const Plan& plan, const TileOptions& options, int threads,
                           core::TileStoreWriter& writer, core::Progress* progress);

// One tile as the executor makes it: read, resampled when the plan says so.
core::Image ReadTile(Slide& slide, const Plan& plan, int64_t x, int64_t y);

// In the store's encoding.
core::Bytes EncodeTile(const core::Image& tile, const TileOptions& options);

}  // namespace eosin::tiling
