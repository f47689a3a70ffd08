// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/walk.h"

#include <sys/mman.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "core/base/interrupt.h"
#include "core/image/mosaic.h"
#include "tiling/extract/coverage.h"
#include "tiling/extract/team.h"

namespace eosin::tiling {
namespace {

// Room for decoded tiles, used again at once so that it stays warm. Carved from slabs of huge
// pages: a row of tiles touches thousands of small ones.
class BufferPool {
 public:
  explicit BufferPool(int64_t tile_bytes)
      : bytes_((static_cast<size_t>(tile_bytes) + kLine - 1) / kLine * kLine + kLine) {}

  uint8_t* Get() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) AddSlab();
    uint8_t* buffer = free_.back();
    free_.pop_back();
    return buffer;
  }

  void Put(uint8_t* buffer) {
    std::lock_guard lock(mutex_);
    free_.push_back(buffer);
  }

 private:
  static constexpr size_t kLine = 64, kHuge = size_t{1} << 21;
  struct Free {
    void operator()(uint8_t* slab) const { std::free(slab); }
  };

  void AddSlab() {
    const size_t size = (8 * bytes_ + kHuge - 1) / kHuge * kHuge;
    auto* slab = static_cast<uint8_t*>(std::aligned_alloc(kHuge, size));
    if (!slab) throw std::bad_alloc();
    slabs_.emplace_back(slab);
    madvise(slab, size, MADV_HUGEPAGE);  // a wish: small pages do as well
    for (size_t i = size / bytes_; i > 0; --i) free_.push_back(slab + (i - 1) * bytes_);
  }

  const size_t bytes_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<uint8_t[], Free>> slabs_;
  std::vector<uint8_t*> free_;
};

// Threads meet in atomic counters: a planned tile's missing stored tiles, and a stored tile's
// remaining users. Who takes the last one makes or frees.
class Walk {
 public:
  Walk(const Slide& slide, const Plan& plan, const TileSink& sink, const WalkGate& gate)
      : slide_(slide),
        plan_(plan),
        sink_(sink),
        gate_(gate),
        coverage_(slide.geometry(), plan),
        pool_(coverage_.tile_bytes()),
        tiles_(static_cast<size_t>(coverage_.slots())),
        users_(tiles_.size()),
        missing_(plan.tiles.size()) {
    for (size_t slot = 0; slot < users_.size(); ++slot) {
      users_[slot].store(coverage_.users(static_cast<int64_t>(slot)), std::memory_order_relaxed);
    }
    for (size_t i = 0; i < missing_.size(); ++i) {
      const TileRange range = coverage_.Range(static_cast<int64_t>(i));
      missing_[i].store(range.columns * range.rows, std::memory_order_relaxed);
    }
  }

  WalkStats Run(int threads) {
    const int64_t useful = std::clamp<int64_t>(coverage_.slots(), 1, threads);
    RunTeam(static_cast<int>(useful),
            [this](int thread, std::stop_source& stop) { Work(thread, stop); });
    WalkStats stats;
    stats.tiles_covered = coverage_.slots();
    stats.tiles_decoded = decoded_;
    stats.bad_tiles = static_cast<int64_t>(errors_.size());
    if (!errors_.empty()) stats.first_error = errors_.begin()->second;
    return stats;
  }

 private:
  // What a thread keeps from tile to tile.
  struct Worker {
    int thread;
    std::unique_ptr<TileDecoder> decoder;
    core::MosaicResampler resampler;
    core::Image image;
    std::vector<const uint8_t*> mosaic;
    std::string error;
  };

  // A slot that was taken is finished, so that threads waiting at the gate for what it completes
  // are not left waiting; only a failure stops them through the token.
  void Work(int thread, std::stop_source& stop) {
    Worker worker{thread,
                  slide_.NewDecoder(),
                  core::MosaicResampler(coverage_.ratio(), plan_.tile_size),
                  {},
                  {},
                  {}};
    while (!stop.stop_requested()) {
      core::ThrowIfInterrupted();
      const int64_t slot = next_.fetch_add(1, std::memory_order_relaxed);
      if (slot >= coverage_.slots()) return;
      if (gate_ && !gate_(coverage_.first_open(slot), stop.get_token())) {
        stop.request_stop();
        return;
      }
      if (const int64_t same = SameAs(slot); same >= 0) {
        DecodeInPlace(slot, same, &worker);
        continue;
      }
      DecodeSlot(slot, &worker);
      coverage_.ForEachUser(slot, [&](int64_t i) {
        if (missing_[static_cast<size_t>(i)].fetch_sub(1, std::memory_order_acq_rel) == 1) {
          Finish(i, &worker);
        }
      });
    }
  }

  // The planned tile that is this stored tile and no more, when no other needs it; -1: none.
  int64_t SameAs(int64_t slot) const {
    if (plan_.mode == TileMode::kResample || coverage_.users(slot) != 1 ||
        coverage_.tile_width() != plan_.tile_size || coverage_.tile_height() != plan_.tile_size) {
      return -1;
    }
    int64_t same = -1;
    coverage_.ForEachUser(slot, [&](int64_t i) {
      const TileRange range = coverage_.Range(i);
      if (range.columns == 1 && range.rows == 1) same = i;
    });
    return same;
  }

  void DecodeInPlace(int64_t slot, int64_t i, Worker* worker) {
    MakeRoom(worker);
    core::Image& image = worker->image;
    worker->error.clear();
    const bool good =
        worker->decoder->Decode(plan_.level, coverage_.index(slot), 1, image.pixels.data(),
                                static_cast<ptrdiff_t>(image.stride()), &worker->error);
    decoded_.fetch_add(1, std::memory_order_relaxed);
    if (!good) {
      std::lock_guard lock(mutex_);
      errors_[slot] = worker->error;
    }
    sink_(worker->thread, i, good ? &image : nullptr, worker->error);
  }

  void MakeRoom(Worker* worker) const {
    if (worker->image.width != plan_.tile_size) {
      worker->image = core::Image(plan_.tile_size, plan_.tile_size, 3);
    }
  }

  void DecodeSlot(int64_t slot, Worker* worker) {
    uint8_t* buffer = pool_.Get();
    const bool good =
        worker->decoder->Decode(plan_.level, coverage_.index(slot), coverage_.shrink(), buffer,
                                ptrdiff_t{3} * coverage_.tile_width(), &worker->error);
    decoded_.fetch_add(1, std::memory_order_relaxed);
    if (good) {
      tiles_[static_cast<size_t>(slot)] = buffer;
      return;
    }
    pool_.Put(buffer);
    std::lock_guard lock(mutex_);
    errors_[slot] = worker->error;
  }

  void Finish(int64_t i, Worker* worker) {
    const TileRange range = coverage_.Range(i);
    core::Mosaic source;
    source.tile_width = coverage_.tile_width();
    source.tile_height = coverage_.tile_height();
    source.width = coverage_.width();
    source.height = coverage_.height();
    source.first_column = range.column;
    source.first_row = range.row;
    source.columns = range.columns;
    source.rows = range.rows;
    worker->mosaic.clear();
    int64_t bad = -1;
    ForEachSlot(range, [&](int64_t slot) {
      worker->mosaic.push_back(tiles_[static_cast<size_t>(slot)]);
      if (!worker->mosaic.back() && bad < 0) bad = slot;
    });
    source.tiles = worker->mosaic.data();
    if (bad >= 0) {
      {
        std::lock_guard lock(mutex_);
        worker->error = errors_.at(bad);
      }
      sink_(worker->thread, i, nullptr, worker->error);
    } else {
      Assemble(source, i, worker);
      worker->error.clear();
      sink_(worker->thread, i, &worker->image, worker->error);
    }
    ForEachSlot(range, [&](int64_t slot) {
      const auto at = static_cast<size_t>(slot);
      if (users_[at].fetch_sub(1, std::memory_order_acq_rel) == 1 && tiles_[at]) {
        pool_.Put(tiles_[at]);
        tiles_[at] = nullptr;
      }
    });
  }

  void Assemble(const core::Mosaic& source, int64_t i, Worker* worker) {
    const double x = coverage_.WindowX(i), y = coverage_.WindowY(i);
    if (plan_.mode == TileMode::kResample) {
      worker->resampler.Run(source, x, y, &worker->image);
      return;
    }
    MakeRoom(worker);
    CopyWindow(source, static_cast<int64_t>(x), static_cast<int64_t>(y), &worker->image);
  }

  template <typename Body>
  void ForEachSlot(const TileRange& range, Body&& body) const {
    for (int64_t row = range.row; row < range.row + range.rows; ++row) {
      // The tiles of a row that a planned tile needs are all slots: they stand side by side.
      const int64_t first = coverage_.SlotOf(range.column, row);
      for (int64_t slot = first; slot < first + range.columns; ++slot) body(slot);
    }
  }

  const Slide& slide_;
  const Plan& plan_;
  const TileSink& sink_;
  const WalkGate& gate_;
  const Coverage coverage_;
  BufferPool pool_;
  std::vector<uint8_t*> tiles_;  // a slot's pixels: null before, after, and when it is bad
  std::vector<std::atomic<int32_t>> users_;
  std::vector<std::atomic<int32_t>> missing_;
  std::atomic<int64_t> next_{0}, decoded_{0};
  std::mutex mutex_;  // of the errors
  std::map<int64_t, std::string> errors_;
};

}  // namespace

WalkStats WalkTiles(const Slide& slide, const Plan& plan, int threads, const TileSink& sink,
                    const WalkGate& gate) {
  return Walk(slide, plan, sink, gate).Run(threads);
}

int64_t WorkingSet(const SlideGeometry& slide, const Plan& plan) {
  const Coverage coverage(slide, plan);
  // A stored tile lives from its own slot to the last slot of the last planned tile that needs it.
  std::vector<int64_t> last(static_cast<size_t>(coverage.slots()));
  for (int64_t i = 0; i < static_cast<int64_t>(plan.tiles.size()); ++i) {
    const TileRange range = coverage.Range(i);
    const int64_t done = coverage.LastSlot(i);
    for (int64_t row = range.row; row < range.row + range.rows; ++row) {
      const int64_t first = coverage.SlotOf(range.column, row);
      for (int64_t slot = first; slot < first + range.columns; ++slot) {
        int64_t& end = last[static_cast<size_t>(slot)];
        end = std::max(end, done);
      }
    }
  }
  std::vector<int32_t> freed(last.size() + 1);
  for (const int64_t end : last) ++freed[static_cast<size_t>(end) + 1];
  int64_t held = 0, most = 0;
  for (size_t slot = 0; slot < last.size(); ++slot) {
    held += 1 - freed[slot];
    most = std::max(most, held);
  }
  return most * coverage.tile_bytes();
}

}  // namespace eosin::tiling
