// SPDX-License-Identifier: Apache-2.0
#include "tiling/annotations/ring_edges.h"

#include <cmath>
#include <tuple>

namespace eosin::tiling {
namespace {

// Heights up to 1 px share level 0, up to 2 px level 1, up to 4 px level 2, ...
int LevelOf(const Edge& edge) {
  const double height = edge.by - edge.ay;
  if (height <= 1) return 0;
  int exponent = 0;
  const double fraction = std::frexp(height, &exponent);  // height = fraction * 2^exponent
  return fraction == 0.5 ? exponent - 1 : exponent;
}

// Is any part of the edge inside the open box?
bool PassesThrough(const Edge& edge, const Box& box) {
  const double left = std::min(edge.ax, edge.bx), right = std::max(edge.ax, edge.bx);
  if (right <= box.x0 || left >= box.x1 || edge.by <= box.y0 || edge.ay >= box.y1) {
    return false;
  }
  // The line separates the box when all corners lie on one side of it or on it.
  const double dx = edge.bx - edge.ax, dy = edge.by - edge.ay;
  int below = 0, above = 0;
  for (const double x : {box.x0, box.x1}) {
    for (const double y : {box.y0, box.y1}) {
      const double side = dx * (y - edge.ay) - dy * (x - edge.ax);
      below += side < 0 ? 1 : 0;
      above += side > 0 ? 1 : 0;
    }
  }
  return below > 0 && above > 0;
}

}  // namespace

RingEdges::RingEdges(const Ring& ring) : box_(BoxOf(ring)) {
  edges_.reserve(ring.size());
  for (size_t i = 0; i < ring.size(); ++i) {
    const Vertex& a = ring[i];
    const Vertex& b = ring[i + 1 == ring.size() ? 0 : i + 1];
    if (a == b) continue;
    const bool ordered = std::tie(a.y, a.x) <= std::tie(b.y, b.x);
    edges_.push_back(ordered ? Edge{a.x, a.y, b.x, b.y} : Edge{b.x, b.y, a.x, a.y});
  }
  std::sort(edges_.begin(), edges_.end(), [](const Edge& p, const Edge& q) {
    return std::make_tuple(LevelOf(p), p.ay, p.ax, p.by, p.bx) <
           std::make_tuple(LevelOf(q), q.ay, q.ax, q.by, q.bx);
  });
  for (size_t i = 0; i < edges_.size(); ++i) {
    const int level = LevelOf(edges_[i]);
    if (i == 0 || level != LevelOf(edges_[i - 1])) {
      levels_.push_back({std::ldexp(1.0, level), i, i});
    }
    levels_.back().end = i + 1;
  }
}

bool RingEdges::Contains(Vertex point, int64_t* steps) const {
  if (point.x < box_.x0 || point.x > box_.x1 || point.y < box_.y0 || point.y > box_.y1) {
    return false;
  }
  bool inside = false;
  int64_t looked_at = 1;
  ForEach(point.y, point.y, [&](const Edge& edge) {
    ++looked_at;
    if (edge.ay <= point.y && point.y < edge.by && CrossingX(edge, point.y) <= point.x) {
      inside = !inside;
    }
  });
  if (steps) *steps += looked_at;
  return inside;
}

bool RingEdges::Crosses(const Box& box) const {
  if (box_.x1 <= box.x0 || box_.x0 >= box.x1 || box_.y1 <= box.y0 || box_.y0 >= box.y1) {
    return false;
  }
  bool crosses = false;
  ForEach(box.y0, box.y1, [&](const Edge& edge) { crosses = crosses || PassesThrough(edge, box); });
  return crosses;
}

}  // namespace eosin::tiling
