// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/object_hausdorff.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>
#include <vector>

#include "eval/segmentation/distance_map.h"

namespace eosin::eval {
namespace {

int64_t Square(int64_t v) { return v * v; }

Object Union(const Object& a, const Object& b) {
  return {0, std::min(a.x0, b.x0), std::min(a.y0, b.y0), std::max(a.x1, b.x1),
          std::max(a.y1, b.y1)};
}

// Is a pixel of object j one that has a neighbour outside it?
bool OnRim(const Objects& b, int j, int x, int y) {
  return x == 0 || y == 0 || x + 1 == b.width || y + 1 == b.height || b.at(x - 1, y) != j ||
         b.at(x + 1, y) != j || b.at(x, y - 1) != j || b.at(x, y + 1) != j;
}

// The nearest pixel of an object to any point outside is one of its rim. Relative to the frame's
// corner.
std::vector<Pixel> Rim(const Objects& b, int j, const Object& frame) {
  std::vector<Pixel> rim;
  const Object& box = b.object(j);
  for (int y = box.y0; y < box.y1; ++y) {
    for (int x = box.x0; x < box.x1; ++x) {
      if (b.at(x, y) == j && OnRim(b, j, x, y)) rim.push_back({x - frame.x0, y - frame.y0});
    }
  }
  return rim;
}

// Largest squared distance of a pixel of i to object j; the pixels of j itself are at 0.
int64_t Directed(const Objects& a, int i, const Objects& b, int j) {
  const Object frame = Union(a.object(i), b.object(j));
  // A step away from j's box leads farther from all of j: so the farthest pixel of i lies on i's
  // rim, or inside that box.
  std::vector<Pixel> outside;
  const Object &box = a.object(i), &other = b.object(j);
  for (int y = box.y0; y < box.y1; ++y) {
    const bool beside = y < other.y0 || y >= other.y1;
    for (int x = box.x0; x < box.x1; ++x) {
      if (a.at(x, y) != i || b.at(x, y) == j) continue;
      const bool away = beside || x < other.x0 || x >= other.x1;
      if (!away || OnRim(a, i, x, y)) outside.push_back({x - frame.x0, y - frame.y0});
    }
  }
  if (outside.empty()) return 0;
  const std::vector<Pixel> rim = Rim(b, j, frame);
  const int width = frame.x1 - frame.x0, height = frame.y1 - frame.y0;
  int64_t largest = 0;
  // A speck is compared pixel by pixel; a map of the whole frame would cost more.
  if (outside.size() * rim.size() < static_cast<size_t>(width) * static_cast<size_t>(height)) {
    for (const Pixel& p : outside) {
      int64_t nearest = std::numeric_limits<int64_t>::max();
      for (const Pixel& q : rim) {
        nearest = std::min(nearest, Square(p.x - q.x) + Square(p.y - q.y));
      }
      largest = std::max(largest, nearest);
    }
    return largest;
  }
  const DistanceMap map(width, height, rim);
  for (const int64_t squared : map.Squared(outside)) largest = std::max(largest, squared);
  return largest;
}

// No Hausdorff distance is smaller: an object's outermost pixel must reach the other's box.
int64_t LowerBound(const Object& a, const Object& b) {
  return Square(std::max({std::abs(a.x0 - b.x0), std::abs(a.x1 - b.x1), std::abs(a.y0 - b.y0),
                          std::abs(a.y1 - b.y1)}));
}

}  // namespace

int64_t SquaredHausdorff(const Objects& a, int i, const Objects& b, int j) {
  return std::max(Directed(a, i, b, j), Directed(b, j, a, i));
}

NearestObject FindNearest(const Objects& a, int i, const Objects& b) {
  std::vector<std::pair<int64_t, int>> candidates;
  for (int j = 1; j <= b.count(); ++j) {
    candidates.emplace_back(LowerBound(a.object(i), b.object(j)), j);
  }
  std::sort(candidates.begin(), candidates.end());
  NearestObject best{0, std::numeric_limits<int64_t>::max()};
  for (const auto& [bound, j] : candidates) {
    if (bound > best.squared) break;
    const int64_t squared = SquaredHausdorff(a, i, b, j);
    if (squared < best.squared || (squared == best.squared && j < best.number)) {
      best = {j, squared};
    }
  }
  return best;
}

}  // namespace eosin::eval
