// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/extract.h"

#include <algorithm>
#include <memory>

#include "core/base/error.h"
#include "tiling/extract/copy.h"
#include "tiling/extract/ordered_writer.h"
#include "tiling/extract/tile_maker.h"

namespace eosin::tiling {

ExtractResult ExtractTiles(const Slide& slide, const Plan& plan, const TileOptions& options,
                           int threads, core::TileStoreWriter& writer, core::Progress* progress) {
  threads = std::max(1, threads);
  writer.Reserve(static_cast<int64_t>(plan.tiles.size()));
  const TileMaker maker(plan, options);
  OrderedWriter ordered(plan, writer, progress, kWriteAhead * threads);
  WalkStats stats;
  if (plan.mode == TileMode::kCopy) {
    CopyTiles(slide, plan, maker, threads, ordered);
  } else {
    const auto sink = [&](int, int64_t index, const core::Image* tile, const std::string& error) {
      std::unique_ptr<TileBatch> batch = ordered.NewBatch();
      batch->first = index;
      TileRecord& record = batch->tiles.emplace_back();
      if (tile) {
        maker.Score(*tile, 1, &record.scores);
        if (record.scores.exceeded < 0) maker.Encode(*tile, &batch->bytes);
      } else {
        record.bad = true;
        record.error = error;
      }
      record.size = batch->bytes.size();
      ordered.Deliver(std::move(batch));
    };
    const auto gate = [&](int64_t index, const std::stop_token& stop) {
      return ordered.WaitFor(index, stop);
    };
    stats = WalkTiles(slide, plan, threads, sink, gate);
  }
  ExtractResult result = ordered.Finish(options);
  result.walk = stats;
  return result;
}

}  // namespace eosin::tiling
