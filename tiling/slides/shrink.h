// SPDX-License-Identifier: Apache-2.0
// RGB pixels shrunk by whole numbers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace eosin::tiling {

// Means of shrink x shrink pixels, halves rounded up, of a packed width x height picture; the sides
// are multiples of shrink.
inline void ShrinkRgb(const uint8_t* in, int width, int height, int shrink, uint8_t* out,
                      ptrdiff_t stride) {
  const ptrdiff_t row = static_cast<ptrdiff_t>(width) * 3;
  const uint32_t count = static_cast<uint32_t>(shrink) * static_cast<uint32_t>(shrink);
  for (int y = 0; y < height / shrink; ++y) {
    for (int x = 0; x < width / shrink; ++x) {
      uint32_t sum[3] = {count / 2, count / 2, count / 2};
      for (int j = 0; j < shrink; ++j) {
        const uint8_t* p = in + (y * shrink + j) * row + static_cast<ptrdiff_t>(x) * shrink * 3;
        for (int i = 0; i < shrink; ++i, p += 3) {
          sum[0] += p[0];
          sum[1] += p[1];
          sum[2] += p[2];
        }
      }
      uint8_t* q = out + y * stride + x * 3;
      for (int k = 0; k < 3; ++k) q[k] = static_cast<uint8_t>(sum[k] / count);
    }
  }
}

}  // namespace eosin::tiling
