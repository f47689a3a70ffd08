// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/extract.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/base/interrupt.h"

namespace eosin::tiling {
namespace {

// Neighbours share source tiles; a unit keeps them in one decoder's cache.
constexpr int64_t kUnit = 16;

struct EncodedTile {
  core::Bytes bytes;  // empty: bad
  std::string error;
};

// Decoders take units in order and may run ahead of the writer by `window` units.
class UnitQueue {
 public:
  UnitQueue(int64_t units, int64_t window) : units_(units), window_(window) {}

  std::optional<int64_t> Take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stop_ || next_ >= units_ || next_ < written_ + window_; });
    if (stop_ || next_ >= units_) return std::nullopt;
    return next_++;
  }

  void Deliver(int64_t unit, std::vector<EncodedTile> tiles) {
    std::lock_guard lock(mutex_);
    done_[unit] = std::move(tiles);
    changed_.notify_all();
  }

  void Fail(std::exception_ptr error) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    stop_ = true;
    changed_.notify_all();
  }

  void Stop() {
    std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }

  // The writer's side: the next unit in order. Rethrows a decoder's failure.
  std::vector<EncodedTile> Next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || done_.count(written_) > 0; });
    if (error_) std::rethrow_exception(error_);
    auto node = done_.extract(written_);
    ++written_;
    changed_.notify_all();
    return std::move(node.mapped());
  }

 private:
  const int64_t units_, window_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t next_ = 0, written_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::map<int64_t, std::vector<EncodedTile>> done_;
};

EncodedTile MakeTile(Slide& slide, const Plan& plan, const TileOptions& options,
                     const PlannedTile& place) {
  EncodedTile tile;
  try {
    tile.bytes = EncodeTile(ReadTile(slide, plan, place.x, place.y), options);
  } catch (const core::SlideError& error) {
    tile.error = error.what();
  }
  return tile;
}

void Decode(Slide* opened, const std::filesystem::path& path, const Plan& plan,
            const TileOptions& options, UnitQueue& queue) {
  try {
    std::optional<Slide> own;
    if (!opened) opened = &own.emplace(Slide::Open(path));
    const int64_t count = static_cast<int64_t>(plan.tiles.size());
    while (const auto unit = queue.Take()) {
      std::vector<EncodedTile> tiles;
      const int64_t end = std::min(count, (*unit + 1) * kUnit);
      for (int64_t i = *unit * kUnit; i < end; ++i) {
        tiles.push_back(MakeTile(*opened, plan, options, plan.tiles[static_cast<size_t>(i)]));
      }
      queue.Deliver(*unit, std::move(tiles));
    }
  } catch (...) {
    queue.Fail(std::current_exception());
  }
}

}  // namespace

core::Image ReadTile(Slide& slide, const Plan& plan, int64_t x, int64_t y) {
  core::Image region = slide.ReadRegion(x, y, plan.level, plan.read_size, plan.read_size);
  if (plan.read_size == plan.tile_size) return region;
  core::Image tile(plan.tile_size, plan.tile_size, 3);
  const cv::Mat from(region.height, region.width, CV_8UC3, region.pixels.data());
  cv::Mat to(tile.height, tile.width, CV_8UC3, tile.pixels.data());
  // Area means when shrinking; cubic for the few per cent (or what the user allowed) of enlarging.
  const int method = plan.read_size > plan.tile_size ? cv::INTER_AREA : cv::INTER_CUBIC;
  cv::resize(from, to, to.size(), 0, 0, method);
  return tile;
}

core::Bytes EncodeTile(const core::Image& tile, const TileOptions& options) {
  if (options.encoding == "png") return core::EncodePng(tile);
  if (options.encoding == "raw") return tile.pixels;
  return core::EncodeJpeg(tile, static_cast<int>(options.quality));
}

ExtractResult ExtractTiles(Slide& slide, const Plan& plan, const TileOptions& options, int threads,
                           core::TileStoreWriter& writer, core::Progress* progress) {
  cv::setNumThreads(1);  // the decoders are the parallelism
  const int64_t count = static_cast<int64_t>(plan.tiles.size());
  const int64_t units = (count + kUnit - 1) / kUnit;
  const int64_t decoders = std::clamp<int64_t>(threads, 1, std::max<int64_t>(units, 1));
  UnitQueue queue(units, 2 * decoders);
  struct StopAtExit {
    UnitQueue& queue;
    ~StopAtExit() { queue.Stop(); }
  };
  std::vector<std::jthread> pool;  // joins after the queue was stopped
  const StopAtExit stop_at_exit{queue};
  for (int64_t i = 0; i < decoders; ++i) {
    pool.emplace_back([&, first = i == 0] {
      Decode(first ? &slide : nullptr, slide.path(), plan, options, queue);
    });
  }

  ExtractResult result;
  for (int64_t unit = 0; unit < units; ++unit) {
    core::ThrowIfInterrupted();
    const std::vector<EncodedTile> tiles = queue.Next();
    for (const EncodedTile& tile : tiles) {
      const PlannedTile& place = plan.tiles[static_cast<size_t>(result.written)];
      const bool bad = tile.bytes.empty();
      writer.Append(place.x, place.y, tile.bytes, place.tissue,
                    bad ? core::TileStatus::kBad : core::TileStatus::kOk);
      if (bad && result.bad++ == 0) result.first_error = tile.error;
      ++result.written;
    }
    if (progress) progress->Advance(static_cast<int64_t>(tiles.size()));
  }
  if (result.bad == result.written && result.written > 0) {
    throw core::SlideError("no tile can be read: " + result.first_error,
                           "the file is damaged; fetch it again");
  }
  return result;
}

}  // namespace eosin::tiling
