// SPDX-License-Identifier: Apache-2.0
// A ring's edges, found by height: what lies between two heights costs about what is there, not the
// whole ring. Memory: 32 bytes an edge, whatever its shape. Internal to this folder.
#pragma once

#include <algorithm>
#include <vector>

#include "tiling/annotations/box_index.h"

namespace eosin::tiling {

// The lower end first (y downwards: ay <= by); of equal heights the left one. So two regions that
// share an edge have the same edge, bit for bit, whichever way round they were drawn.
struct Edge {
  double ax, ay, bx, by;
};

// Where the edge crosses height y, ay <= y < by. Never beyond its ends, so that an edge to one side
// of a column stays on that side.
inline double CrossingX(const Edge& edge, double y) {
  const double x = edge.ax + (y - edge.ay) * (edge.bx - edge.ax) / (edge.by - edge.ay);
  return std::clamp(x, std::min(edge.ax, edge.bx), std::max(edge.ax, edge.bx));
}

class RingEdges {
 public:
  RingEdges() = default;
  explicit RingEdges(const Ring& ring);  // at least one vertex

  const Box& box() const { return box_; }

  // Calls visit(edge) for each edge that has a point with y0 <= y <= y1.
  template <typename Visit>
  void ForEach(double y0, double y1, Visit&& visit) const {
    for (const Level& level : levels_) {
      const auto begin = edges_.begin() + static_cast<std::ptrdiff_t>(level.begin);
      const auto end = edges_.begin() + static_cast<std::ptrdiff_t>(level.end);
      auto it = std::lower_bound(begin, end, y0 - level.height,
                                 [](const Edge& edge, double y) { return edge.ay < y; });
      for (; it != end && it->ay <= y1; ++it) {
        if (it->by >= y0) visit(*it);
      }
    }
  }

  // Even-odd; a point on a left or upper edge is inside, on a right or lower one outside. Adds the
  // edges looked at to *steps.
  bool Contains(Vertex point, int64_t* steps = nullptr) const;
  // Does an edge pass through the inside of the box (not only along its border)?
  bool Crosses(const Box& box) const;

 private:
  // Edges of like height, sorted by upper end.
  struct Level {
    double height;  // none is higher
    size_t begin, end;
  };

  std::vector<Edge> edges_;  // by level, then by ay
  std::vector<Level> levels_;
  Box box_;
};

}  // namespace eosin::tiling
