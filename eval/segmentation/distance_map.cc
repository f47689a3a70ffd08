// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/distance_map.h"

#include <algorithm>

namespace eosin::eval {
namespace {

constexpr int32_t kNone = 1 << 30;

int64_t Square(int64_t v) { return v * v; }

}  // namespace

DistanceMap::DistanceMap(int width, int height, std::span<const Pixel> set)
    : width_(width), height_(height) {
  const auto stride = static_cast<size_t>(width);
  vertical_.assign(stride * static_cast<size_t>(height), kNone);
  for (const Pixel& p : set) {
    vertical_[static_cast<size_t>(p.y) * stride + static_cast<size_t>(p.x)] = 0;
  }
  // Row after row, so that the inner loops vectorise. kNone + height stays far below 2^31.
  for (size_t y = 1; y < static_cast<size_t>(height); ++y) {
    const int32_t* above = &vertical_[(y - 1) * stride];
    int32_t* row = &vertical_[y * stride];
    for (size_t x = 0; x < stride; ++x) row[x] = std::min(row[x], above[x] + 1);
  }
  for (size_t y = static_cast<size_t>(height) - 1; y > 0; --y) {
    const int32_t* below = &vertical_[y * stride];
    int32_t* row = &vertical_[(y - 1) * stride];
    for (size_t x = 0; x < stride; ++x) row[x] = std::min(row[x], below[x] + 1);
  }
}

int64_t DistanceMap::Search(int x, int y, int64_t* steps) const {
  const int32_t* row = &vertical_[static_cast<size_t>(y) * static_cast<size_t>(width_)];
  const auto at = [&](int column) { return row[column] >= kNone ? kFar : Square(row[column]); };
  int64_t best = at(x);
  const int reach = std::max(x, width_ - 1 - x);
  int64_t d = 1;
  for (; d <= reach && d * d < best; ++d) {
    const int left = x - static_cast<int>(d), right = x + static_cast<int>(d);
    if (left >= 0) best = std::min(best, at(left) + d * d);
    if (right < width_) best = std::min(best, at(right) + d * d);
  }
  *steps += d;
  return std::min(best, kFar);
}

void DistanceMap::Envelope(int y, int64_t* out) const {
  const int32_t* row = &vertical_[static_cast<size_t>(y) * static_cast<size_t>(width_)];
  std::vector<int> vertex;    // columns of the parabolas of the lower envelope, left to right
  std::vector<double> start;  // where each becomes the lowest
  // Whole numbers below 2^53 divided once: no two abscissae that differ compare wrongly at a whole
  // column, and where two parabolas meet at one either gives its value.
  for (int q = 0; q < width_; ++q) {
    if (row[q] >= kNone) continue;
    double meet = -1;
    while (!vertex.empty()) {
      const int v = vertex.back();
      meet = static_cast<double>(Square(row[q]) + Square(q) - Square(row[v]) - Square(v)) /
             (2.0 * (q - v));
      if (meet > start.back()) break;
      vertex.pop_back();
      start.pop_back();
    }
    start.push_back(vertex.empty() ? -1.0 : meet);
    vertex.push_back(q);
  }
  if (vertex.empty()) {
    std::fill_n(out, width_, kFar);
    return;
  }
  size_t k = 0;
  for (int x = 0; x < width_; ++x) {
    while (k + 1 < vertex.size() && start[k + 1] < x) ++k;
    out[x] = Square(x - vertex[k]) + Square(row[vertex[k]]);
  }
}

std::vector<int64_t> DistanceMap::Squared(std::span<const Pixel> points) const {
  std::vector<int64_t> result;
  result.reserve(points.size());
  std::vector<int64_t> solved;
  int solved_row = -1, current = -1;
  int64_t steps = 0;
  for (const Pixel& p : points) {
    if (p.y != current) {
      current = p.y;
      steps = 0;
    }
    if (p.y == solved_row) {
      result.push_back(solved[static_cast<size_t>(p.x)]);
    } else if (steps < 4 * int64_t{width_}) {
      result.push_back(Search(p.x, p.y, &steps));
    } else {
      solved.resize(static_cast<size_t>(width_));
      Envelope(p.y, solved.data());
      solved_row = p.y;
      result.push_back(solved[static_cast<size_t>(p.x)]);
    }
  }
  return result;
}

}  // namespace eosin::eval
