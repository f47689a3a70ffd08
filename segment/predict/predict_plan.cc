// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/predict_plan.h"

#include <algorithm>
#include <cmath>

#include "tiling/options.h"

namespace eosin::segment {
namespace {

constexpr double kLeastShare = 1e-6;  // of tissue in a cell: above what rounding makes of none

// Level, scale and mode are the tiler's choice; no place is planned by it.
tiling::Plan ChooseLevel(const tiling::SlideGeometry& slide, const PlanOptions& options) {
  tiling::TileOptions tile;
  tile.mpp = options.mpp;
  tile.size = tile.stride = kBlock;
  tile.allow_upsample = options.allow_upsample;
  tile.roi = {0, 0, 0.5, 0.5};
  tiling::Plan plan = tiling::MakePlan(slide, nullptr, tile);
  plan.tiles.clear();
  plan.rejected.clear();
  plan.outside_roi = 0;
  return plan;
}

int64_t RasterSize(int64_t level, int64_t level0, const tiling::Plan& blocks) {
  if (blocks.exact()) return level;
  const double size = static_cast<double>(level0) / blocks.downsample;
  return std::max<int64_t>(1, std::llround(size));
}

CellMap FindCells(const tiling::SlideGeometry& slide, const tiling::TissueMask* tissue,
                  const PredictPlan& plan) {
  CellMap cells(plan.width, plan.height);
  const auto [left, top, width, height] = slide.bounds;
  const double side = kCell * plan.downsample;
  for (int64_t row = 0; row < cells.rows(); ++row) {
    const double y0 = std::max(static_cast<double>(row) * side, static_cast<double>(top));
    const double y1 =
        std::min(static_cast<double>(row + 1) * side, static_cast<double>(top + height));
    for (int64_t column = 0; column < cells.columns(); ++column) {
      const double x0 = std::max(static_cast<double>(column) * side, static_cast<double>(left));
      const double x1 =
          std::min(static_cast<double>(column + 1) * side, static_cast<double>(left + width));
      if (x1 <= x0 || y1 <= y0) continue;
      cells.Set(column, row, !tissue || tissue->Share(x0, y0, x1 - x0, y1 - y0) > kLeastShare);
    }
  }
  return cells;
}

// Blocks that the windows look at; a window sees its reflections at the edges too.
void PlanBlocks(PredictPlan* plan) {
  const int64_t columns = (plan->width + kBlock - 1) / kBlock;
  const int64_t rows = (plan->height + kBlock - 1) / kBlock;
  tiling::Plan& blocks = plan->blocks;
  blocks.pitch = kBlock * (blocks.exact() ? blocks.level_downsample : blocks.downsample);
  const auto level0 = [&](int64_t block) {
    return std::llround(static_cast<double>(block) * blocks.pitch);
  };
  std::vector<std::vector<bool>> open;  // rows of blocks from `first` on, not yet planned
  int64_t first = 0;
  const auto flush = [&](int64_t until) {
    for (; first < until; ++first) {
      if (open.empty()) continue;
      for (int64_t c = 0; c < columns; ++c) {
        if (open.front()[static_cast<size_t>(c)]) {
          blocks.tiles.push_back({level0(c), level0(first), 1.0F});
        }
      }
      open.erase(open.begin());
    }
  };
  for (int64_t row = 0; row < plan->y.count; ++row) {
    const Span y = plan->Rows(row);
    flush(std::min(y.begin / kBlock, rows));
    const int64_t last = (y.end - 1) / kBlock;
    while (first + static_cast<int64_t>(open.size()) <= last) {
      open.emplace_back(static_cast<size_t>(columns));
    }
    for (const int64_t column : plan->Columns(row)) {
      const Span x = MirroredSpan(plan->x.Start(column), plan->x.window, plan->width);
      for (int64_t r = y.begin / kBlock; r <= last; ++r) {
        auto& marks = open[static_cast<size_t>(r - first)];
        for (int64_t c = x.begin / kBlock; c <= (x.end - 1) / kBlock; ++c) {
          marks[static_cast<size_t>(c)] = true;
        }
      }
    }
  }
  flush(rows);
}

}  // namespace

CellMap::CellMap(int64_t width, int64_t height)
    : columns_((width + kCell - 1) / kCell),
      rows_((height + kCell - 1) / kCell),
      cells_(static_cast<size_t>(columns_ * rows_)) {}

bool CellMap::Any(Span x, Span y) const {
  const int64_t left = std::max<int64_t>(0, x.begin) / kCell;
  const int64_t right = std::min(columns_, (x.end + kCell - 1) / kCell);
  const int64_t bottom = std::min(rows_, (y.end + kCell - 1) / kCell);
  for (int64_t row = std::max<int64_t>(0, y.begin) / kCell; row < bottom; ++row) {
    for (int64_t column = left; column < right; ++column) {
      if (at(column, row)) return true;
    }
  }
  return false;
}

int64_t CellMap::count() const { return std::count(cells_.begin(), cells_.end(), true); }

Span PredictPlan::Rows(int64_t row) const {
  // The last window may reach so far over the edge that its reflection begins above the window
  // before it; the first one's may end below the second.
  const auto span = [&](int64_t i) { return MirroredSpan(y.Start(i), y.window, height); };
  const Span own = span(row);
  return {std::min(own.begin, span(y.count - 1).begin), std::max(own.end, span(0).end)};
}

std::vector<int64_t> PredictPlan::Columns(int64_t row) const {
  const Span down{y.Start(row), y.Start(row) + y.window};
  std::vector<int64_t> columns;
  for (int64_t i = 0; i < x.count; ++i) {
    if (cells.Any({x.Start(i), x.Start(i) + x.window}, down)) columns.push_back(i);
  }
  return columns;
}

int64_t PredictPlan::CountWindows() const {
  int64_t count = 0;
  for (int64_t row = 0; row < y.count; ++row) count += static_cast<int64_t>(Columns(row).size());
  return count;
}

PredictPlan MakePredictPlan(const tiling::SlideGeometry& slide, const tiling::TissueMask* tissue,
                            const PlanOptions& options) {
  PredictPlan plan;
  plan.blocks = ChooseLevel(slide, options);
  plan.mpp = plan.blocks.tile_mpp;
  plan.downsample = plan.blocks.downsample;
  const tiling::SlideLevel& level = slide.levels[static_cast<size_t>(plan.blocks.level)];
  plan.width = RasterSize(level.width, slide.width, plan.blocks);
  plan.height = RasterSize(level.height, slide.height, plan.blocks);
  plan.x = WindowAxis(plan.width, options.window, options.stride, options.offset_x);
  plan.y = WindowAxis(plan.height, options.window, options.stride, options.offset_y);
  plan.cells = FindCells(slide, tissue, plan);
  PlanBlocks(&plan);
  return plan;
}

}  // namespace eosin::segment
