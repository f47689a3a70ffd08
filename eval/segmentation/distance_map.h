// SPDX-License-Identifier: Apache-2.0
// Exact Euclidean distances of pixels to the nearest pixel of a set, in linear time: Felzenszwalb
// and Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8 (2012).
// Vertical distances of all pixels first; then, a row at a time and only where asked, the lower
// envelope of the row's parabolas. Squared distances are whole numbers and exact. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace eosin::eval {

struct Pixel {
  int32_t x = 0, y = 0;
};

class DistanceMap {
 public:
  // Points lie in [0, width) x [0, height); none at all is allowed, distances are kFar then.
  DistanceMap(int width, int height, std::span<const Pixel> set);

  static constexpr int64_t kFar = int64_t{1} << 60;

  // Squared distance of each point to the set, px^2. Points are best given row by row: a row whose
  // points need long searches is solved once for all of them, so that the cost stays linear in the
  // pixels and the points.
  std::vector<int64_t> Squared(std::span<const Pixel> points) const;

 private:
  // From the pixel outwards along its row, until no parabola can be lower; adds the steps taken.
  int64_t Search(int x, int y, int64_t* steps) const;
  void Envelope(int y, int64_t* out) const;

  int width_, height_;
  std::vector<int32_t> vertical_;  // distance to the nearest member of the column; kNone = none
};

}  // namespace eosin::eval
