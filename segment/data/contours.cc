// SPDX-License-Identifier: Apache-2.0
#include "segment/data/contours.h"

#include <algorithm>

#include "core/image/resample.h"

namespace eosin::segment {
namespace {

// Visible on pink and violet tissue: yellow, cyan, green, orange, white, blue.
constexpr uint8_t kColours[][3] = {{255, 235, 0}, {0, 240, 255},   {60, 220, 60},
                                   {255, 140, 0}, {255, 255, 255}, {40, 90, 255}};

}  // namespace

core::Image DrawContours(const core::Image& image, const core::Image& mask, int background,
                         int width) {
  const int height = std::max(1, image.height * width / std::max(1, image.width));
  core::Image out = core::Resize(image, width, height);
  auto class_at = [&](int x, int y) {
    x = std::clamp(x, 0, width - 1);
    y = std::clamp(y, 0, height - 1);
    const int c = mask.row(y * mask.height / height)[x * mask.width / width];
    return c == 255 ? background : c;
  };
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int c = class_at(x, y);
      if (c == background) continue;
      bool edge = false;
      for (int d = 1; d <= 2 && !edge; ++d) {
        edge = class_at(x - d, y) != c || class_at(x + d, y) != c || class_at(x, y - d) != c ||
               class_at(x, y + d) != c;
      }
      if (edge)
        std::copy_n(kColours[static_cast<size_t>(c) % std::size(kColours)], 3, out.at(x, y));
    }
  }
  return out;
}

}  // namespace eosin::segment
