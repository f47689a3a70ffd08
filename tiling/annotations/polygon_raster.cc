// SPDX-License-Identifier: Apache-2.0
#include "tiling/annotations/polygon_raster.h"

#include <algorithm>
#include <cmath>

namespace eosin::tiling {
namespace {

// The estimate can be one off by rounding; the centres themselves decide.
template <typename Centre>
int FirstAtOrBeyond(double v, double origin, double step, int count, Centre&& centre) {
  const double estimate = std::ceil((v - origin) / step - 0.5);
  int i = static_cast<int>(std::clamp(estimate, 0.0, static_cast<double>(count)));
  while (i > 0 && centre(i - 1) >= v) --i;
  while (i < count && centre(i) < v) ++i;
  return i;
}

// Bit i of the result: XOR of the bits 0..i.
uint64_t PrefixXor(uint64_t bits) {
  for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

// The inside of one ring, even-odd.
bool FillRing(const RingEdges& ring, const PixelGrid& grid, BitBlock& block) {
  const Box& box = ring.box();
  const int column0 = grid.FirstColumn(box.x0), column1 = grid.FirstColumn(box.x1);
  block.row0 = grid.FirstRow(box.y0);
  block.row1 = grid.FirstRow(box.y1);
  if (column0 >= column1 || block.row0 >= block.row1) return false;
  block.word0 = column0 / 64;
  block.word1 = (column1 + 63) / 64;
  block.bits.assign(
      static_cast<size_t>(block.row1 - block.row0) * static_cast<size_t>(block.words()), 0);
  // What crosses a row left of the block changes all of it, whatever the place: such an edge costs
  // the same however many rows it crosses, and one to the right of the block nothing.
  block.flips.assign(static_cast<size_t>(block.row1 - block.row0) + 1, 0);
  const double left = grid.CentreX(column0), right = grid.CentreX(column1 - 1);
  ring.ForEach(grid.CentreY(block.row0), grid.CentreY(block.row1 - 1), [&](const Edge& edge) {
    if (std::min(edge.ax, edge.bx) > right) return;
    const int begin = std::max(block.row0, grid.FirstRow(edge.ay));
    const int end = std::min(block.row1, grid.FirstRow(edge.by));
    if (begin >= end) return;
    if (std::max(edge.ax, edge.bx) <= left) {
      block.flips[static_cast<size_t>(begin - block.row0)] ^= 1;
      block.flips[static_cast<size_t>(end - block.row0)] ^= 1;
      return;
    }
    for (int r = begin; r < end; ++r) {
      const int column = std::max(column0, grid.FirstColumn(CrossingX(edge, grid.CentreY(r))));
      // To the right of column1 nothing is inside; those bits are cleared below.
      if (column < column1) {
        block.row(r)[column / 64 - block.word0] ^= uint64_t{1} << (column % 64);
      }
    }
  });
  uint8_t flipped = 0;
  const uint64_t last = column1 % 64 == 0 ? ~uint64_t{0} : (uint64_t{1} << (column1 % 64)) - 1;
  for (int r = block.row0; r < block.row1; ++r) {
    uint64_t* words = block.row(r);
    flipped ^= block.flips[static_cast<size_t>(r - block.row0)];
    words[0] ^= uint64_t{flipped} << (column0 % 64);
    uint64_t carry = 0;
    for (int w = 0; w < block.words(); ++w) {
      words[w] = PrefixXor(words[w]) ^ carry;
      carry = words[w] >> 63 ? ~uint64_t{0} : 0;
    }
    words[block.words() - 1] &= last;
  }
  return true;
}

void Remove(BitBlock& hole, BitBlock& block) {
  const int row0 = std::max(hole.row0, block.row0), row1 = std::min(hole.row1, block.row1);
  const int word0 = std::max(hole.word0, block.word0), word1 = std::min(hole.word1, block.word1);
  for (int r = row0; r < row1; ++r) {
    for (int w = word0; w < word1; ++w) {
      block.row(r)[w - block.word0] &= ~hole.row(r)[w - hole.word0];
    }
  }
}

}  // namespace

int PixelGrid::FirstColumn(double v) const {
  return FirstAtOrBeyond(v, x, step, columns, [this](int i) { return CentreX(i); });
}

int PixelGrid::FirstRow(double v) const {
  return FirstAtOrBeyond(v, y, step, rows, [this](int i) { return CentreY(i); });
}

IndexedPolygon::IndexedPolygon(const Polygon& polygon) : outer_(polygon.outer) {
  std::vector<Box> boxes;
  for (const Ring& hole : polygon.holes) {
    if (hole.empty()) continue;
    holes_.emplace_back(hole);
    boxes.push_back(holes_.back().box());
  }
  hole_boxes_ = BoxIndex(boxes);
}

bool IndexedPolygon::Fill(const PixelGrid& grid, BitBlock& block, BitBlock& scratch) const {
  if (!FillRing(outer_, grid, block)) return false;
  if (holes_.empty()) return true;
  std::vector<uint32_t> near;
  hole_boxes_.Find(grid.Extent(), near);
  for (const uint32_t i : near) {
    if (FillRing(holes_[i], grid, scratch)) Remove(scratch, block);
  }
  return true;
}

bool IndexedPolygon::CrossedBy(const Box& square) const {
  if (outer_.Crosses(square)) return true;
  if (holes_.empty()) return false;
  std::vector<uint32_t> near;
  hole_boxes_.Find(square, near);
  return std::any_of(near.begin(), near.end(),
                     [&](uint32_t i) { return holes_[i].Crosses(square); });
}

bool IndexedPolygon::Contains(Vertex point) const {
  if (!outer_.Contains(point)) return false;
  if (holes_.empty()) return true;
  std::vector<uint32_t> near;
  hole_boxes_.Find({point.x, point.y, point.x, point.y}, near);
  return std::none_of(near.begin(), near.end(),
                      [&](uint32_t i) { return holes_[i].Contains(point); });
}

bool IndexedPolygon::Meets(const Box& square) const {
  return CrossedBy(square) || Contains({(square.x0 + square.x1) / 2, (square.y0 + square.y1) / 2});
}

bool IndexedPolygon::Covers(const Box& square) const {
  return !CrossedBy(square) && Contains({(square.x0 + square.x1) / 2, (square.y0 + square.y1) / 2});
}

}  // namespace eosin::tiling
