// SPDX-License-Identifier: Apache-2.0
#include "core/stain/stain_shift.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/base/error.h"
#include "core/stain/density.h"
#include "core/stain/hed.h"

namespace eosin::core {

std::vector<StainShift> StandardShifts() {
  constexpr float kAlphas[] = {0.7f, 1.0f, 1.3f}, kBetas[] = {-0.1f, 0.0f, 0.1f};
  std::vector<StainShift> shifts;
  for (const float h : kAlphas) {
    for (const float e : kAlphas) {
      if (h == 1 && e == 1) continue;
      shifts.push_back({{h, e}, {0, 0}, fmt::format("H*{:.1f} E*{:.1f}", h, e)});
    }
  }
  for (const float h : kBetas) {
    for (const float e : kBetas) {
      if (h == 0 && e == 0) continue;
      shifts.push_back({{1, 1}, {h, e}, fmt::format("H{:+.1f} E{:+.1f}", h, e)});
    }
  }
  return shifts;
}

Image ApplyShift(const Image& rgb, const StainShift& shift) {
  if (!rgb.empty() && rgb.channels != 3) {
    throw DataError("a picture without colours has no stain to shift", "RGB pictures are needed");
  }
  const float alpha[3] = {shift.alpha[0], shift.alpha[1], 1};
  const float beta[3] = {shift.beta[0], shift.beta[1], 0};
  const StainAffine map = HedJitterAffine(HedResidualMatrix(), alpha, beta);
  // e^(x + y) = e^x * e^y: per channel of origin and level, what it gives to each channel.
  double factors[3][256][3];
  for (size_t i = 0; i < 3; ++i) {
    for (size_t level = 0; level < 256; ++level) {
      for (size_t j = 0; j < 3; ++j) {
        factors[i][level][j] = std::exp(-kDensities[level] * double{map.a[i][j]});
      }
    }
  }
  double scale[3];
  for (size_t j = 0; j < 3; ++j) scale[j] = 256 * std::exp(-double{map.b[j]});
  Image out(rgb.width, rgb.height, 3);
  for (size_t p = 0; p + 2 < rgb.pixels.size(); p += 3) {
    const uint8_t* in = rgb.pixels.data() + p;
    for (size_t j = 0; j < 3; ++j) {
      const double level =
          scale[j] * factors[0][in[0]][j] * factors[1][in[1]][j] * factors[2][in[2]][j] - 1;
      out.pixels[p + j] = static_cast<uint8_t>(std::clamp(level, 0.0, 255.0) + 0.5);
    }
  }
  return out;
}

}  // namespace eosin::core
