// SPDX-License-Identifier: Apache-2.0
// An 8-bit image in memory: height x width x channels, row-major, interleaved (HWC). RGB for
// pictures (3 channels), class or instance indices for masks (1 channel). Owns its pixels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace eosin::core {

struct Image {
  int width = 0;
  int height = 0;
  int channels = 3;
  std::vector<uint8_t> pixels;

  Image() = default;
  Image(int w, int h, int c, uint8_t value = 0)
      : width(w),
        height(h),
        channels(c),
        pixels(static_cast<size_t>(w) * static_cast<size_t>(h) * static_cast<size_t>(c), value) {}

  uint8_t* row(int y) { return pixels.data() + static_cast<size_t>(y) * stride(); }
  const uint8_t* row(int y) const { return pixels.data() + static_cast<size_t>(y) * stride(); }
  uint8_t* at(int x, int y) { return row(y) + x * channels; }
  const uint8_t* at(int x, int y) const { return row(y) + x * channels; }
  size_t stride() const { return static_cast<size_t>(width) * static_cast<size_t>(channels); }
  bool empty() const { return pixels.empty(); }
};

}  // namespace eosin::core
