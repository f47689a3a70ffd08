// SPDX-License-Identifier: Apache-2.0
// Pictures with the frequencies of stained tissue: clouds, nuclei and noise.
#pragma once

#include <algorithm>
#include <cmath>

#include "core/base/philox.h"
#include "core/image/image.h"

namespace eosin::testing {

// The same seed gives the same grey values in 1 channel and, with grey_as_rgb, in 3.
inline core::Image TissuePicture(int width, int height, int channels, uint64_t seed,
                                 bool grey_as_rgb = false) {
  core::Image image(width, height, grey_as_rgb ? 3 : channels);
  core::PhiloxStream random(seed, core::DrawPurpose::kTest, 0, 0);
  const double phase = random.Uniform(0, 6);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double cloud = std::sin(x * 0.021 + phase) * std::cos(y * 0.017 - phase);
      const double nucleus = std::sin(x * 0.31 + phase) * std::sin(y * 0.27) > 0.6 ? 1 : 0;
      const double base[3] = {205 + 25 * cloud - 90 * nucleus, 150 + 45 * cloud - 95 * nucleus,
                              190 + 20 * cloud - 50 * nucleus};
      uint8_t* p = image.at(x, y);
      for (int k = 0; k < channels; ++k) {
        const double value = base[k] + random.Uniform(-6, 6);
        p[k] = static_cast<uint8_t>(std::clamp(value, 0.0, 255.0));
      }
      if (channels == 1 && grey_as_rgb) p[1] = p[2] = p[0];
    }
  }
  return image;
}

}  // namespace eosin::testing
