// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/raster_reader.h"

#include <time.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "tiling/extract/walk.h"

namespace eosin::segment {
namespace {

constexpr size_t kBlockBytes = size_t{3} * kBlock * kBlock;

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

RasterReader::RasterReader(const tiling::Slide& slide, const PredictPlan& plan, int64_t first_row,
                           int threads)
    : slide_(slide), plan_(plan), blocks_(plan.blocks) {
  const auto block = [&](int64_t level0) {
    return std::llround(static_cast<double>(level0) / blocks_.pitch);
  };
  int64_t top = 0;
  if (first_row < plan.y.count) {
    top = plan.Rows(first_row).begin / kBlock;
  }
  std::erase_if(blocks_.tiles, [&](const tiling::PlannedTile& t) { return block(t.y) < top; });
  for (const tiling::PlannedTile& tile : blocks_.tiles) {
    places_.emplace_back(block(tile.x), block(tile.y));
    ++planned_[places_.back().second];
  }
  decoder_ = std::jthread([this, threads] { Decode(threads); });
}

RasterReader::~RasterReader() { Stop(); }

void RasterReader::Decode(int threads) {
  std::exception_ptr failure;
  std::vector<double> began(static_cast<size_t>(threads), 0);
  std::vector<double> spent(static_cast<size_t>(threads), 0);
  try {
    const auto sink = [&](int thread, int64_t index, const core::Image* tile,
                          const std::string& error) {
      double& since = began[static_cast<size_t>(thread)];
      Deliver(index, tile, error);
      const double now = ThreadSeconds();
      spent[static_cast<size_t>(thread)] += now - since;
      since = now;
    };
    const auto gate = [&](int64_t index, const std::stop_token& stop) {
      std::unique_lock lock(mutex_);
      if (index >= static_cast<int64_t>(places_.size())) return !stopped_;
      const int64_t row = places_[static_cast<size_t>(index)].second;
      while (!stopped_ && !stop.stop_requested() && row > limit_) {
        changed_.wait_for(lock, std::chrono::milliseconds(50));
      }
      return !stopped_;
    };
    if (!blocks_.tiles.empty()) tiling::WalkTiles(slide_, blocks_, threads, sink, gate);
  } catch (...) {
    failure = std::current_exception();
  }
  std::lock_guard lock(mutex_);
  failure_ = failure;
  ended_ = true;
  for (const double s : spent) seconds_ += s;
  changed_.notify_all();
}

void RasterReader::Deliver(int64_t index, const core::Image* tile, const std::string& error) {
  const auto [column, row] = places_[static_cast<size_t>(index)];
  std::unique_ptr<uint8_t[]> block;
  {
    std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      block = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  if (!block) block = std::make_unique_for_overwrite<uint8_t[]>(kBlockBytes);
  if (tile) {
    std::memcpy(block.get(), tile->pixels.data(), kBlockBytes);
  } else {
    std::memset(block.get(), 255, kBlockBytes);
  }
  std::lock_guard lock(mutex_);
  BlockRow& into = rows_[row];
  if (into.blocks.empty()) {
    into.blocks.resize(static_cast<size_t>((plan_.width + kBlock - 1) / kBlock));
    into.missing = planned_.at(row);
  }
  into.blocks[static_cast<size_t>(column)] = std::move(block);
  if (!tile) bad_.push_back({column, row, error});
  if (--into.missing == 0) changed_.notify_all();
}

bool RasterReader::BeginRow(int64_t row) {
  const Span y = plan_.Rows(row);
  const int64_t first = y.begin / kBlock, last = (y.end - 1) / kBlock;
  std::unique_lock lock(mutex_);
  while (!rows_.empty() && rows_.begin()->first < first) {
    for (auto& block : rows_.begin()->second.blocks) {
      if (block) spare_.push_back(std::move(block));
    }
    rows_.erase(rows_.begin());
  }
  limit_ = std::max(limit_, last + 1);
  changed_.notify_all();
  const auto ready = [&] {
    for (auto planned = planned_.lower_bound(first);
         planned != planned_.end() && planned->first <= last; ++planned) {
      const auto found = rows_.find(planned->first);
      if (found == rows_.end() || found->second.missing > 0) return false;
    }
    return true;
  };
  changed_.wait(lock, [&] { return stopped_ || ended_ || ready(); });
  if (failure_) std::rethrow_exception(failure_);
  return !stopped_ && ready();
}

void RasterReader::CopyWindow(int64_t row, int64_t column, uint8_t* rgb) const {
  const int window = plan_.x.window;
  const int64_t left = plan_.x.Start(column), top = plan_.y.Start(row);
  const int64_t begin = std::max<int64_t>(0, left), end = std::min(plan_.width, left + window);
  const std::vector<std::unique_ptr<uint8_t[]>>* blocks = nullptr;
  int64_t block_row = -1;
  for (int v = 0; v < window; ++v, rgb += ptrdiff_t{3} * window) {
    const int64_t y = Mirror(top + v, plan_.height);
    if (y / kBlock != block_row) {
      block_row = y / kBlock;
      std::lock_guard lock(mutex_);
      blocks = &rows_.at(block_row).blocks;  // nodes of a map stay where they are
    }
    for (int64_t x = begin; x < end;) {
      const int64_t next = std::min(end, (x / kBlock + 1) * kBlock);
      std::memcpy(rgb + 3 * (x - left), RowOf(*blocks, x / kBlock, y) + 3 * (x % kBlock),
                  static_cast<size_t>(3 * (next - x)));
      x = next;
    }
    for (int64_t x = left; x < left + window; ++x) {
      if (x == begin) x = end;
      if (x >= left + window) break;
      const int64_t from = Mirror(x, plan_.width);
      std::memcpy(rgb + 3 * (x - left), RowOf(*blocks, from / kBlock, y) + 3 * (from % kBlock), 3);
    }
  }
}

const uint8_t* RasterReader::RowOf(const std::vector<std::unique_ptr<uint8_t[]>>& blocks,
                                   int64_t column, int64_t y) const {
  return blocks[static_cast<size_t>(column)].get() + (y % kBlock) * (ptrdiff_t{3} * kBlock);
}

void RasterReader::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

std::vector<BadBlock> RasterReader::TakeBad() {
  std::lock_guard lock(mutex_);
  return std::exchange(bad_, {});
}

double RasterReader::seconds() const {
  std::lock_guard lock(mutex_);
  return seconds_;
}

}  // namespace eosin::segment
