// SPDX-License-Identifier: Apache-2.0
// Tiles made in any order by many threads, written in the plan's order by whichever thread brings
// the next one: nobody waits for the disk but who writes.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "core/base/progress.h"
#include "core/store/tile_store.h"
#include "tiling/extract/extract.h"
#include "tiling/extract/tile_maker.h"

namespace eosin::tiling {

struct TileRecord {
  size_t size = 0;  // of its share of the batch's bytes; 0 when bad or left out
  bool bad = false;
  std::string error;  // of a bad tile
  TileScores scores;
};

// Neighbours in the plan.
struct TileBatch {
  int64_t first = 0;  // index into plan.tiles
  core::Bytes bytes;  // back to back
  std::vector<TileRecord> tiles;
};

class OrderedWriter {
 public:
  // Threads may be `window` planned tiles ahead of the writing. progress may be null.
  OrderedWriter(const Plan& plan, core::TileStoreWriter& writer, core::Progress* progress,
                int64_t window);

  // Waits until planned tile `index` is within the window; false when stopped. Whoever waits must
  // not owe a tile before `index`.
  bool WaitFor(int64_t index, const std::stop_token& stop);
  std::unique_ptr<TileBatch> NewBatch();
  void Deliver(std::unique_ptr<TileBatch> batch);  // throws what the store's writer throws

  // After the last tile: the columns of scores, and what was done.
  ExtractResult Finish(const TileOptions& options);

 private:
  void Write(const TileBatch& batch);

  const Plan& plan_;
  core::TileStoreWriter& writer_;
  core::Progress* progress_;
  const int64_t window_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  int64_t written_ = 0;
  bool writing_ = false;
  std::map<int64_t, std::unique_ptr<TileBatch>> pending_;
  std::vector<std::unique_ptr<TileBatch>> free_;
  // Only touched by the thread that writes.
  ExtractResult result_;
  std::vector<TileQuality> quality_;
  std::vector<float> stain_;
};

}  // namespace eosin::tiling
