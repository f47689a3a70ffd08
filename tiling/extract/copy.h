// SPDX-License-Identifier: Apache-2.0
// Pass-through: stored JPEG tiles to the store as they are.
#pragma once

#include "core/image/codec.h"
#include "tiling/extract/ordered_writer.h"
#include "tiling/extract/plan.h"
#include "tiling/extract/tile_maker.h"
#include "tiling/slides/slide.h"

namespace eosin::tiling {

// One thread's copier. Entropy-coded data is decoded only where scores are asked for, and then
// damage in it makes the tile bad; without scores it goes into the store as it is in the slide.
class TileCopier {
 public:
  TileCopier(const Slide& slide, const Plan& plan, const TileMaker& maker);
  // Appends planned tile i to the batch.
  void Copy(int64_t i, TileBatch* batch);
  static int64_t StoredIndex(const Slide& slide, const Plan& plan, int64_t i);

 private:
  const Slide& slide_;
  const Plan& plan_;
  const TileMaker& maker_;
  std::unique_ptr<TileDecoder> decoder_;  // null where no pixels are needed
  core::Image small_;
};

void CopyTiles(const Slide& slide, const Plan& plan, const TileMaker& maker, int threads,
               OrderedWriter& writer);

}  // namespace eosin::tiling
