// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/ordered_writer.h"

#include <span>
#include <utility>

#include "core/base/error.h"
#include "core/stain/tile_stain.h"

namespace eosin::tiling {

OrderedWriter::OrderedWriter(const Plan& plan, core::TileStoreWriter& writer,
                             core::Progress* progress, int64_t window)
    : plan_(plan), writer_(writer), progress_(progress), window_(window) {}

bool OrderedWriter::WaitFor(int64_t index, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (index < written_ + window_) return !stop.stop_requested();
  return changed_.wait(lock, stop, [&] { return index < written_ + window_; });
}

std::unique_ptr<TileBatch> OrderedWriter::NewBatch() {
  std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<TileBatch>();
  std::unique_ptr<TileBatch> batch = std::move(free_.back());
  free_.pop_back();
  batch->bytes.clear();
  batch->tiles.clear();
  return batch;
}

void OrderedWriter::Deliver(std::unique_ptr<TileBatch> batch) {
  std::unique_lock lock(mutex_);
  const int64_t first = batch->first;
  pending_.emplace(first, std::move(batch));
  if (writing_) return;  // who writes will find it
  writing_ = true;       // stays so after a failure: nothing is written behind a hole
  while (!pending_.empty() && pending_.begin()->first == written_) {
    auto next = pending_.extract(pending_.begin());
    lock.unlock();
    Write(*next.mapped());
    lock.lock();
    written_ += static_cast<int64_t>(next.mapped()->tiles.size());
    free_.push_back(std::move(next.mapped()));
    changed_.notify_all();
  }
  writing_ = false;
}

void OrderedWriter::Write(const TileBatch& batch) {
  size_t offset = 0;
  int64_t index = batch.first;
  for (const TileRecord& tile : batch.tiles) {
    const PlannedTile& place = plan_.tiles[static_cast<size_t>(index)];
    if (tile.scores.exceeded >= 0) {
      const auto reason =
          static_cast<Rejection>(static_cast<int>(Rejection::kBlur) + tile.scores.exceeded);
      result_.rejected.push_back({place.x, place.y, place.tissue, reason});
    } else {
      const std::span<const uint8_t> bytes(batch.bytes.data() + offset, tile.size);
      writer_.Append(place.x, place.y, bytes, place.tissue,
                     tile.bad ? core::TileStatus::kBad : core::TileStatus::kOk);
      if (tile.bad && result_.bad++ == 0) result_.first_error = tile.error;
      result_.kept.push_back(index);
      quality_.push_back(tile.scores.quality);
      stain_.insert(stain_.end(), tile.scores.stain.begin(), tile.scores.stain.end());
    }
    offset += tile.size;
    ++index;
  }
  if (progress_) progress_->Advance(static_cast<int64_t>(batch.tiles.size()));
}

ExtractResult OrderedWriter::Finish(const TileOptions& options) {
  if (result_.bad > 0 && result_.bad == static_cast<int64_t>(result_.kept.size())) {
    throw core::SlideError("no tile can be read: " + result_.first_error,
                           "the file is damaged; fetch it again");
  }
  if (options.quality != "none") {
    for (size_t name = 0; name < kQualityNames.size(); ++name) {
      std::vector<float> column;
      column.reserve(quality_.size());
      for (const TileQuality& quality : quality_) {
        column.push_back(QualityAt(quality, static_cast<int>(name)));
      }
      writer_.SetQuality(kQualityNames[name], std::move(column));
    }
  }
  if (options.stain != "none") {
    writer_.SetStain(std::move(stain_), {core::kStainColumns.begin(), core::kStainColumns.end()});
  }
  return std::move(result_);
}

}  // namespace eosin::tiling
