// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/coverage.h"

#include <cmath>

#include "core/image/mosaic.h"

namespace eosin::tiling {
namespace {

int ChooseShrink(const SlideLevel& level, const Plan& plan) {
  if (plan.mode != TileMode::kResample) return 1;
  const double ratio = plan.downsample / plan.level_downsample;
  int shrink = 1;
  while (shrink < 8 && ratio / (2 * shrink) >= 2 && level.tile_width % (2 * shrink) == 0 &&
         level.tile_height % (2 * shrink) == 0) {
    shrink *= 2;
  }
  return shrink;
}

}  // namespace

Coverage::Coverage(const SlideGeometry& slide, const Plan& plan) : plan_(&plan) {
  const SlideLevel& level = slide.levels[at(plan.level)];
  shrink_ = ChooseShrink(level, plan);
  tile_width_ = level.tile_width / shrink_;
  tile_height_ = level.tile_height / shrink_;
  // A scaled pixel that is partly beyond the edge is left out.
  width_ = std::max<int64_t>(1, level.width / shrink_);
  height_ = std::max<int64_t>(1, level.height / shrink_);
  columns_ = level.columns();
  ratio_ = plan.downsample / plan.level_downsample / shrink_;
  FindGridRows();
  FindSlots();
}

double Coverage::Window(int64_t position) const {
  auto at = static_cast<double>(position);
  if (plan_->mode != TileMode::kResample) {
    return std::round(at / plan_->level_downsample / shrink_);
  }
  if (plan_->pitch > 0) at = std::round(at / plan_->pitch) * plan_->pitch;
  return at / plan_->level_downsample / shrink_;
}

Coverage::Interval Coverage::Needs(int64_t position, int tile_side, int64_t size) const {
  const double window = Window(position);
  core::PixelSpan span;
  if (plan_->mode == TileMode::kResample) {
    span = core::MosaicResampler::Span(ratio_, plan_->tile_size, window, size);
  } else {
    span.begin = std::clamp<int64_t>(static_cast<int64_t>(window), 0, size - 1);
    span.end =
        std::clamp<int64_t>(static_cast<int64_t>(window) + plan_->tile_size, span.begin + 1, size);
  }
  return {span.begin / tile_side, (span.end - 1) / tile_side};
}

TileRange Coverage::Range(int64_t i) const {
  const Interval across = Columns(i), down = Needs(Tile(i).y, tile_height_, height_);
  return {across.first, down.first, static_cast<int>(across.last - across.first + 1),
          static_cast<int>(down.last - down.first + 1)};
}

void Coverage::FindGridRows() {
  const int64_t count = static_cast<int64_t>(plan_->tiles.size());
  for (int64_t i = 0; i < count; ++i) {
    if (i == 0 || Tile(i).y != Tile(i - 1).y) {
      const Interval down = Needs(Tile(i).y, tile_height_, height_);
      grid_.push_back({i, i, down.first, down.last});
    }
    grid_.back().end = i + 1;
  }
}

void Coverage::FindSlots() {
  std::vector<int32_t> steps(at(columns_ + 1));  // changes of the number of users along a row
  size_t active = 0;
  for (int64_t row = grid_.empty() ? 0 : grid_.front().first;; ++row) {
    while (active < grid_.size() && grid_[active].last < row) ++active;
    if (active == grid_.size()) break;
    std::fill(steps.begin(), steps.end(), 0);
    for (size_t g = active; g < grid_.size() && grid_[g].first <= row; ++g) {
      for (int64_t i = grid_[g].begin; i < grid_[g].end; ++i) {
        const Interval across = Columns(i);
        ++steps[at(across.first)];
        --steps[at(across.last + 1)];
      }
    }
    const int64_t begin = slots();
    int32_t users = 0;
    for (int64_t column = 0; column < columns_; ++column) {
      users += steps[at(column)];
      if (users == 0) continue;
      column_.push_back(static_cast<int32_t>(column));
      users_.push_back(users);
    }
    if (slots() == begin) continue;
    rows_.push_back(row);
    row_begin_.push_back(begin);
  }
  row_begin_.push_back(slots());
  // Planned tiles by the slot that completes them; then the least over all later slots.
  const int64_t count = static_cast<int64_t>(plan_->tiles.size());
  first_open_.assign(users_.size(), count);
  for (int64_t i = 0; i < count; ++i) {
    int64_t& first = first_open_[at(LastSlot(i))];
    first = std::min(first, i);
  }
  for (int64_t slot = slots() - 2; slot >= 0; --slot) {
    first_open_[at(slot)] = std::min(first_open_[at(slot)], first_open_[at(slot + 1)]);
  }
}

size_t Coverage::Row(int64_t slot) const {
  return at(std::upper_bound(row_begin_.begin(), row_begin_.end(), slot) - row_begin_.begin()) - 1;
}

int64_t Coverage::SlotOf(int64_t column, int64_t row) const {
  const size_t r = at(std::lower_bound(rows_.begin(), rows_.end(), row) - rows_.begin());
  const auto begin = column_.begin() + row_begin_[r], end = column_.begin() + row_begin_[r + 1];
  return std::lower_bound(begin, end, static_cast<int32_t>(column)) - column_.begin();
}

int64_t Coverage::LastSlot(int64_t i) const {
  const TileRange range = Range(i);
  return SlotOf(range.column + range.columns - 1, range.row + range.rows - 1);
}

}  // namespace eosin::tiling
