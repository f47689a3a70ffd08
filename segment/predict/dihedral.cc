// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/dihedral.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace eosin::segment {

Place DihedralSource(int g, int x, int y, int side) {
  if (g >= 4) x = side - 1 - x;
  switch (g % 4) {
    case 1:
      return {y, side - 1 - x};
    case 2:
      return {side - 1 - x, side - 1 - y};
    case 3:
      return {side - 1 - y, x};
    default:
      return {x, y};
  }
}

Network Dihedral(Network inner, int side, int classes) {
  std::vector<std::vector<int32_t>> source(kDihedralElements);
  for (int g = 0; g < kDihedralElements; ++g) {
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        const Place from = DihedralSource(g, x, y, side);
        source[static_cast<size_t>(g)].push_back(from.y * side + from.x);
      }
    }
  }
  return [inner = std::move(inner), source = std::move(source), side, classes](
             const uint8_t* images, int64_t count, uint16_t* probabilities) {
    const auto pixels = static_cast<size_t>(side) * static_cast<size_t>(side);
    const size_t windows = static_cast<size_t>(count);
    std::vector<uint8_t> turned(windows * pixels * 3);
    std::vector<uint16_t> answer(windows * pixels * static_cast<size_t>(classes));
    std::vector<uint32_t> sums(answer.size());
    for (const std::vector<int32_t>& from : source) {
      for (size_t i = 0; i < windows; ++i) {
        const uint8_t* image = images + i * pixels * 3;
        uint8_t* out = turned.data() + i * pixels * 3;
        for (size_t p = 0; p < pixels; ++p, out += 3) {
          const uint8_t* in = image + static_cast<size_t>(from[p]) * 3;
          out[0] = in[0];
          out[1] = in[1];
          out[2] = in[2];
        }
      }
      inner(turned.data(), count, answer.data());
      for (size_t plane = 0; plane < windows * static_cast<size_t>(classes); ++plane) {
        const uint16_t* in = answer.data() + plane * pixels;
        uint32_t* sum = sums.data() + plane * pixels;
        for (size_t p = 0; p < pixels; ++p) sum[static_cast<size_t>(from[p])] += in[p];
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      probabilities[i] = static_cast<uint16_t>((sums[i] + kDihedralElements / 2) /
                                               static_cast<uint32_t>(kDihedralElements));
    }
  };
}

}  // namespace eosin::segment
