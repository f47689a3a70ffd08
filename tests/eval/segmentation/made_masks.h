// SPDX-License-Identifier: Apache-2.0
// Masks drawn in letters, and random ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "tests/testing.h"

namespace eosin::testing {

// "." = 0, digits and letters their value in base 36.
struct Mask {
  int width = 0, height = 0;
  std::vector<uint8_t> pixels;

  explicit Mask(const std::vector<std::string>& rows)
      : width(static_cast<int>(rows.front().size())), height(static_cast<int>(rows.size())) {
    for (const std::string& row : rows) {
      for (const char c : row) {
        const int value = c == '.' ? 0 : c <= '9' ? c - '0' : c - 'a' + 10;
        pixels.push_back(static_cast<uint8_t>(value));
      }
    }
  }
  Mask(int w, int h)
      : width(w), height(h), pixels(static_cast<size_t>(w) * static_cast<size_t>(h)) {}

  std::vector<uint16_t> Numbers() const { return {pixels.begin(), pixels.end()}; }
};

// Rectangles of the classes, in places of the seed.
inline Mask RandomMask(uint32_t seed, int width, int height, int classes) {
  core::PhiloxStream draw(seed, core::DrawPurpose::kTest, 1, 0);
  Mask mask(width, height);
  for (int k = 0; k < 8; ++k) {
    const auto c = static_cast<uint8_t>(k % classes);
    const int x0 = static_cast<int>(draw.Below(static_cast<uint32_t>(width)));
    const int y0 = static_cast<int>(draw.Below(static_cast<uint32_t>(height)));
    const int x1 = std::min(width, x0 + 1 + static_cast<int>(draw.Below(9)));
    const int y1 = std::min(height, y0 + 1 + static_cast<int>(draw.Below(9)));
    for (int y = y0; y < y1; ++y) {
      for (int x = x0; x < x1; ++x) mask.pixels[static_cast<size_t>(y * width + x)] = c;
    }
  }
  return mask;
}

}  // namespace eosin::testing
