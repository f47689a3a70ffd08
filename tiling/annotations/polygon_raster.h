// SPDX-License-Identifier: Apache-2.0
// Polygons to bits, exactly: a pixel is set when its centre is inside. Scanlines of crossings are
// toggled into a bitmap and summed up by prefix XOR, 64 pixels a word; cost and memory follow the
// part of the tile that the region's box covers. Internal to this folder.
#pragma once

#include <cstdint>
#include <vector>

#include "tiling/annotations/annotation.h"
#include "tiling/annotations/box_index.h"
#include "tiling/annotations/ring_edges.h"

namespace eosin::tiling {

// The grid of pixel centres of a tile: (x + (column + 0.5) * step, y + (row + 0.5) * step).
struct PixelGrid {
  double x = 0, y = 0, step = 1;
  int columns = 0, rows = 0;
  double CentreX(int column) const { return x + (column + 0.5) * step; }
  double CentreY(int row) const { return y + (row + 0.5) * step; }
  // First column (row) whose centre is at v or beyond; columns (rows) when there is none.
  int FirstColumn(double v) const;
  int FirstRow(double v) const;
  Box Extent() const { return {x, y, x + columns * step, y + rows * step}; }
};

// Rows [row0, row1) and columns [64 * word0, 64 * word1) of a grid, one bit a pixel.
struct BitBlock {
  int row0 = 0, row1 = 0, word0 = 0, word1 = 0;
  std::vector<uint64_t> bits;
  std::vector<uint8_t> flips;  // scratch while it is filled
  int words() const { return word1 - word0; }
  uint64_t* row(int r) {
    return bits.data() + static_cast<size_t>(r - row0) * static_cast<size_t>(words());
  }
};

// A polygon ready to be drawn many times, from many threads.
class IndexedPolygon {
 public:
  explicit IndexedPolygon(const Polygon& polygon);  // outer not empty; empty holes are passed over

  const Box& box() const { return outer_.box(); }
  // Sets `block` to the pixels inside; false when there are none. scratch: any block, reused.
  bool Fill(const PixelGrid& grid, BitBlock& block, BitBlock& scratch) const;
  // Do the polygon and the open square have an area in common? Also true for some holes that lie
  // over one another or outside, never false wrongly.
  bool Meets(const Box& square) const;
  // Is the whole square inside? False also where edges cross that change nothing.
  bool Covers(const Box& square) const;

 private:
  bool CrossedBy(const Box& square) const;
  bool Contains(Vertex point) const;

  RingEdges outer_;
  std::vector<RingEdges> holes_;
  BoxIndex hole_boxes_;
};

}  // namespace eosin::tiling
