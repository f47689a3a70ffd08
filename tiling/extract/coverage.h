// SPDX-License-Identifier: Apache-2.0
// Which stored tiles each planned tile needs, and the reverse: arithmetic on geometry, no pixels.
//
// A "slot" is a stored tile that some planned tile needs; slots are numbered in the order of the
// walk (row by row). Where the plan is four or more times coarser than its level, JPEG tiles are
// decoded at 1/2, 1/4 or 1/8 of their size (scaled DCT), which leaves the filter at least a factor
// of two to do: against full decoding and one filter the difference on H&E is kShrinkMeanError grey
// levels on average and kShrinkWorstError at most (tests/tiling/extract_test.cc measures it on a
// real slide).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tiling/extract/plan.h"
#include "tiling/slides/geometry.h"

namespace eosin::tiling {

inline constexpr double kShrinkMeanError = 0.6;
inline constexpr int kShrinkWorstError = 16;

struct TileRange {
  int64_t column = 0, row = 0;
  int columns = 0, rows = 0;
};

class Coverage {
 public:
  // Borrows `plan`, whose tiles stand row by row, by x within a row, as MakePlan makes them.
  Coverage(const SlideGeometry& slide, const Plan& plan);

  int shrink() const { return shrink_; }          // of decoding: 1, 2, 4 or 8
  int tile_width() const { return tile_width_; }  // decoded
  int tile_height() const { return tile_height_; }
  int64_t width() const { return width_; }  // of the level, decoded
  int64_t height() const { return height_; }
  int64_t tile_bytes() const { return int64_t{3} * tile_width_ * tile_height_; }
  double ratio() const { return ratio_; }  // decoded pixels per output pixel

  // Where planned tile i begins, in decoded pixels: whole numbers unless it is resampled.
  double WindowX(int64_t i) const { return Window(Tile(i).x); }
  double WindowY(int64_t i) const { return Window(Tile(i).y); }
  TileRange Range(int64_t i) const;

  int64_t slots() const { return static_cast<int64_t>(users_.size()); }
  int64_t index(int64_t slot) const { return rows_[Row(slot)] * columns_ + column_[at(slot)]; }
  int users(int64_t slot) const { return users_[at(slot)]; }  // planned tiles that need it
  int64_t SlotOf(int64_t column, int64_t row) const;          // it must be needed
  int64_t LastSlot(int64_t i) const;                          // the last that planned tile i needs
  // The first planned tile that slots before this one do not complete.
  int64_t first_open(int64_t slot) const { return first_open_[at(slot)]; }

  // Calls body(i) for every planned tile that needs the slot.
  template <typename Body>
  void ForEachUser(int64_t slot, Body&& body) const;

 private:
  struct GridRow {  // planned tiles [begin, end) with one y
    int64_t begin, end;
    int64_t first, last;  // rows of stored tiles
  };
  struct Interval {
    int64_t first, last;
  };

  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  const PlannedTile& Tile(int64_t i) const { return plan_->tiles[at(i)]; }
  double Window(int64_t position) const;
  Interval Needs(int64_t position, int tile_side, int64_t size) const;
  Interval Columns(int64_t i) const { return Needs(Tile(i).x, tile_width_, width_); }
  size_t Row(int64_t slot) const;  // into rows_
  void FindGridRows();
  void FindSlots();

  const Plan* plan_;
  int shrink_ = 1;
  int tile_width_, tile_height_;
  int64_t width_, height_, columns_;
  double ratio_;
  std::vector<GridRow> grid_;
  std::vector<int64_t> rows_;       // rows of stored tiles with slots, ascending
  std::vector<int64_t> row_begin_;  // their first slots, and the number of all
  std::vector<int32_t> column_, users_;
  std::vector<int64_t> first_open_;
};

template <typename Body>
void Coverage::ForEachUser(int64_t slot, Body&& body) const {
  const int64_t row = rows_[Row(slot)], column = column_[at(slot)];
  auto grid = std::partition_point(grid_.begin(), grid_.end(),
                                   [&](const GridRow& g) { return g.last < row; });
  for (; grid != grid_.end() && grid->first <= row; ++grid) {
    int64_t low = grid->begin, high = grid->end;
    while (low < high) {  // the first that reaches the column
      const int64_t middle = (low + high) / 2;
      if (Columns(middle).last < column) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    for (; low < grid->end && Columns(low).first <= column; ++low) body(low);
  }
}

}  // namespace eosin::tiling
