// SPDX-License-Identifier: Apache-2.0
// RGB pixels shrunk by whole numbers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace eosin::tiling {

// Rows of `shrink` x `shrink` means; a template so that the loops unroll.
template <int kShrink>
void ShrinkRgbBy(const uint8_t* in, int width, int height, uint8_t* out, ptrdiff_t stride) {
  const ptrdiff_t row = static_cast<ptrdiff_t>(width) * 3;
  constexpr uint32_t kCount = kShrink * kShrink;
  for (int y = 0; y < height / kShrink; ++y) {
    for (int x = 0; x < width / kShrink; ++x) {
      const uint8_t* p = in + y * kShrink * row + static_cast<ptrdiff_t>(x) * kShrink * 3;
      uint32_t sum[3] = {kCount / 2, kCount / 2, kCount / 2};
      for (int j = 0; j < kShrink; ++j) {
        for (int i = 0; i < kShrink; ++i) {
          for (int k = 0; k < 3; ++k) sum[k] += p[j * row + 3 * i + k];
        }
      }
      uint8_t* q = out + y * stride + x * 3;
      for (int k = 0; k < 3; ++k) q[k] = static_cast<uint8_t>(sum[k] / kCount);
    }
  }
}

// Means of shrink x shrink pixels, halves rounded up, of a packed width x height picture; shrink is
// 2, 4 or 8 and divides the sides.
inline void ShrinkRgb(const uint8_t* in, int width, int height, int shrink, uint8_t* out,
                      ptrdiff_t stride) {
  if (shrink == 2) ShrinkRgbBy<2>(in, width, height, out, stride);
  if (shrink == 4) ShrinkRgbBy<4>(in, width, height, out, stride);
  if (shrink == 8) ShrinkRgbBy<8>(in, width, height, out, stride);
}

}  // namespace eosin::tiling
