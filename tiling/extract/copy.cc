// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/copy.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/base/interrupt.h"
#include "tiling/extract/team.h"

namespace eosin::tiling {
namespace {

constexpr int64_t kBatch = 16;  // tiles that are read before the writer is troubled

}  // namespace

TileCopier::TileCopier(const Slide& slide, const Plan& plan, const TileMaker& maker)
    : slide_(slide), plan_(plan), maker_(maker) {
  if (!maker.scores()) return;
  decoder_ = slide.NewDecoder();
  small_ =
      core::Image(plan.tile_size / maker.score_shrink(), plan.tile_size / maker.score_shrink(), 3);
}

int64_t TileCopier::StoredIndex(const Slide& slide, const Plan& plan, int64_t i) {
  const PlannedTile& tile = plan.tiles[static_cast<size_t>(i)];
  const double side = plan.tile_size * plan.level_downsample;
  const int64_t column = std::llround(static_cast<double>(tile.x) / side);
  const int64_t row = std::llround(static_cast<double>(tile.y) / side);
  return row * slide.level(plan.level).columns() + column;
}

void TileCopier::Copy(int64_t i, TileBatch* batch) {
  const int64_t index = StoredIndex(slide_, plan_, i);
  const size_t before = batch->bytes.size();
  TileRecord& record = batch->tiles.emplace_back();
  record.bad = !slide_.AppendJpeg(plan_.level, index, &batch->bytes, &record.error);
  if (!record.bad && decoder_) {
    record.bad = !decoder_->Decode(plan_.level, index, maker_.score_shrink(), small_.pixels.data(),
                                   static_cast<ptrdiff_t>(small_.stride()), &record.error);
    if (!record.bad) maker_.Score(small_, maker_.score_shrink(), &record.scores);
  }
  if (record.bad || record.scores.exceeded >= 0) batch->bytes.resize(before);
  record.size = batch->bytes.size() - before;
}

void CopyTiles(const Slide& slide, const Plan& plan, const TileMaker& maker, int threads,
               OrderedWriter& writer) {
  const int64_t count = static_cast<int64_t>(plan.tiles.size());
  std::atomic<int64_t> next{0};
  const int64_t useful = std::clamp<int64_t>((count + kBatch - 1) / kBatch, 1, threads);
  RunTeam(static_cast<int>(useful), [&](int, std::stop_source& stop) {
    TileCopier copier(slide, plan, maker);
    while (!stop.stop_requested()) {
      core::ThrowIfInterrupted();
      const int64_t begin = next.fetch_add(kBatch);
      if (begin >= count || !writer.WaitFor(begin, stop.get_token())) return;
      std::unique_ptr<TileBatch> batch = writer.NewBatch();
      batch->first = begin;
      for (int64_t i = begin; i < std::min(count, begin + kBatch); ++i) copier.Copy(i, batch.get());
      writer.Deliver(std::move(batch));
    }
  });
}

}  // namespace eosin::tiling
