// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/outline.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <utility>

namespace eosin::segment {
namespace {

constexpr double kMostShift = 0.35;  // below half of 1 / sqrt(2)

Vertex2 At(const Corner& c) { return {static_cast<double>(c.x), static_cast<double>(c.y)}; }

void PutOuterFirst(OutlinePolygon* polygon) {
  const auto outer =
      std::max_element(polygon->rings.begin(), polygon->rings.end(),
                       [](const auto& a, const auto& b) { return TwiceArea(a) < TwiceArea(b); });
  std::iter_swap(polygon->rings.begin(), outer);
}

// Cuts a ring wherever it comes back to a corner.
void Split(const Outline& ring, std::vector<VertexRing>* out) {
  std::map<std::pair<int32_t, int32_t>, size_t> seen;  // place on the stack
  Outline stack;
  for (const Corner& corner : ring) {
    const auto [at, fresh] = seen.try_emplace({corner.x, corner.y}, stack.size());
    if (fresh) {
      stack.push_back(corner);
      continue;
    }
    VertexRing& loop = out->emplace_back();
    for (size_t i = at->second; i < stack.size(); ++i) {
      loop.push_back(At(stack[i]));
      if (i > at->second) seen.erase({stack[i].x, stack[i].y});
    }
    stack.resize(at->second + 1);
  }
  VertexRing& rest = out->emplace_back();
  for (const Corner& corner : stack) rest.push_back(At(corner));
}

double SquaredDistance(Vertex2 p, Vertex2 a, Vertex2 b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  double t = length > 0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / length : 0;
  t = std::clamp(t, 0.0, 1.0);
  const double x = p.x - a.x - t * dx, y = p.y - a.y - t * dy;
  return x * x + y * y;
}

// The curve with its corners cut off. corner[i]: the exact corner between vertices i and i + 1, or
// none (then the two lie on one edge).
struct CutCurve {
  VertexRing vertices;
  std::vector<int> corner;  // index into the ring, -1 for none
};

CutCurve CutCorners(const Outline& ring) {
  CutCurve curve;
  const size_t n = ring.size();
  for (size_t i = 0; i < n; ++i) {
    const Corner a = ring[i], b = ring[(i + 1) % n];
    const int length = std::abs(b.x - a.x) + std::abs(b.y - a.y);
    const double ux = (b.x - a.x) * 0.5 / length, uy = (b.y - a.y) * 0.5 / length;
    curve.vertices.push_back({a.x + ux, a.y + uy});
    if (length > 1) {
      curve.corner.push_back(-1);
      curve.vertices.push_back({b.x - ux, b.y - uy});
    }
    curve.corner.push_back(static_cast<int>((i + 1) % n));
  }
  return curve;
}

// Where the chord from vertex i to vertex j strays most, as a vertex between them; 0 when it may
// stand. Indices from i on, j - i >= 2, taken around the ring.
size_t Worst(const CutCurve& curve, const Outline& ring, size_t i, size_t j) {
  const size_t n = curve.vertices.size();
  const Vertex2 a = curve.vertices[i % n], b = curve.vertices[j % n];
  double most = 1;
  size_t worst = 0;
  for (size_t k = i; k < j; ++k) {
    if (k > i) {
      const double shift = SquaredDistance(curve.vertices[k % n], a, b) / (kMostShift * kMostShift);
      if (shift > most) {
        most = shift;
        worst = k;
      }
    }
    if (const int corner = curve.corner[k % n]; corner >= 0) {
      const double left = SquaredDistance(At(ring[static_cast<size_t>(corner)]), a, b) /
                          (kOutlineError * kOutlineError);
      if (left > most) {
        most = left;
        worst = std::clamp(k, i + 1, j - 1);
      }
    }
  }
  return worst;
}

VertexRing Simplify(const Outline& ring) {
  const CutCurve curve = CutCorners(ring);
  const size_t n = curve.vertices.size();
  // From the topmost, leftmost vertex, so that the start does not depend on the tracing.
  size_t start = 0;
  for (size_t i = 1; i < n; ++i) {
    const Vertex2 &v = curve.vertices[i], &s = curve.vertices[start];
    if (v.y < s.y || (v.y == s.y && v.x < s.x)) start = i;
  }
  size_t far = start;
  double most = -1;
  for (size_t i = start; i < start + n; ++i) {
    const double dx = curve.vertices[i % n].x - curve.vertices[start].x;
    const double dy = curve.vertices[i % n].y - curve.vertices[start].y;
    if (dx * dx + dy * dy > most) {
      most = dx * dx + dy * dy;
      far = i;
    }
  }
  VertexRing out;
  std::vector<std::pair<size_t, size_t>> open = {{far, start + n}, {start, far}};
  while (!open.empty()) {
    const auto [i, j] = open.back();
    open.pop_back();
    const size_t worst = j - i < 2 ? 0 : Worst(curve, ring, i, j);
    if (worst == 0) {
      out.push_back(curve.vertices[i % n]);
    } else {
      open.emplace_back(worst, j);
      open.emplace_back(i, worst);
    }
  }
  return out;
}

}  // namespace

double TwiceArea(const VertexRing& ring) {
  double area = 0;
  for (size_t i = 0; i < ring.size(); ++i) {
    const Vertex2 &a = ring[i], &b = ring[(i + 1) % ring.size()];
    area += a.x * b.y - b.x * a.y;
  }
  return area;
}

OutlinePolygon ExactOutline(const TracedRegion& region) {
  OutlinePolygon polygon;
  for (const Outline& ring : region.rings) Split(ring, &polygon.rings);
  PutOuterFirst(&polygon);
  return polygon;
}

OutlinePolygon SimplifiedOutline(const TracedRegion& region) {
  OutlinePolygon polygon;
  for (const Outline& ring : region.rings) polygon.rings.push_back(Simplify(ring));
  PutOuterFirst(&polygon);
  return polygon;
}

}  // namespace eosin::segment
