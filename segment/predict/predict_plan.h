// SPDX-License-Identifier: Apache-2.0
// The plan of a slide's prediction: arithmetic on geometry, tissue and options, made before a pixel
// is read at full size.
//
// The *raster* is the whole slide at the model's scale: the label map's pixels. It is never in
// memory; it is made in blocks of kBlock pixels from the slide's stored tiles, each once.
//
// Cells of kCell x kCell raster pixels that touch tissue are predicted, all others stay
// kNotPredicted. Which pixels that is does not depend on the windows: every window that touches
// such a cell is run, so each of its pixels has all its windows.
//
// Windows have the training crop's size unless asked otherwise, because the image-pool branch makes
// every pixel depend on its whole window. They stand every `stride` pixels from `first` <= 0 on and
// reach over the slide's edges, so that pixels there lie as deep in their windows as others; what
// is beyond the edge is mirrored.
#pragma once

#include <cstdint>
#include <vector>

#include "segment/predict/window_axis.h"
#include "tiling/extract/plan.h"
#include "tiling/slides/geometry.h"
#include "tiling/tissue/tissue.h"

namespace eosin::segment {

inline constexpr int kCell = 32;
inline constexpr int kBlock = 256;
inline constexpr uint8_t kNotPredicted = 255;  // label of pixels that no window was asked about

struct PlanOptions {
  double mpp = 0;  // um per raster pixel, as asked
  bool allow_upsample = false;
  int window = 256;                    // raster pixels
  int stride = 128;                    // raster pixels, 1..window
  int64_t offset_x = 0, offset_y = 0;  // the grid of windows moves up and left by so much
};

class CellMap {
 public:
  CellMap() = default;
  CellMap(int64_t width, int64_t height);  // of the raster
  int64_t columns() const { return columns_; }
  int64_t rows() const { return rows_; }
  bool at(int64_t column, int64_t row) const { return cells_[Index(column, row)]; }
  void Set(int64_t column, int64_t row, bool value) { cells_[Index(column, row)] = value; }
  // Is any cell set that touches these raster pixels?
  bool Any(Span x, Span y) const;
  int64_t count() const;

 private:
  size_t Index(int64_t column, int64_t row) const {
    return static_cast<size_t>(row * columns_ + column);
  }
  int64_t columns_ = 0, rows_ = 0;
  std::vector<bool> cells_;
};

struct PredictPlan {
  int64_t width = 0, height = 0;  // of the raster
  double mpp = 0;                 // um per raster pixel, as it will be
  double downsample = 1;          // level-0 pixels per raster pixel
  WindowAxis x, y;
  CellMap cells;
  tiling::Plan blocks;  // those that windows look at, row by row

  // Rows of the raster that windows of this row look at; neither end falls from row to row.
  Span Rows(int64_t row) const;
  // Windows of a row that touch a cell, from left to right.
  std::vector<int64_t> Columns(int64_t row) const;
  int64_t CountWindows() const;
};

// tissue null: all of the slide's bounds. SlideError: mpp unknown, finer than the slide.
PredictPlan MakePredictPlan(const tiling::SlideGeometry& slide, const tiling::TissueMask* tissue,
                            const PlanOptions& options);

}  // namespace eosin::segment
