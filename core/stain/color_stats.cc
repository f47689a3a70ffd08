// SPDX-License-Identifier: Apache-2.0
#include "core/stain/color_stats.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "core/base/clones.h"
#include "core/base/error.h"
#include "core/stain/density.h"
#include "core/stain/hed.h"
#include "core/stain/lanes.h"

namespace eosin::core {
namespace {

// Loops run over blocks of this many pixels; sums within one are floats, over all doubles.
constexpr int kBlock = 64;

struct Tables {
  float light[256], share[256];
  Tables() {
    for (int i = 0; i < 256; ++i) {
      const double v = i / 255.0;
      light[i] = static_cast<float>(v > 0.04045 ? std::pow((v + 0.055) / 1.055, 2.4) : v / 12.92);
      share[i] = static_cast<float>(v);
    }
  }
};

const Tables& Table() {
  static const Tables tables;
  return tables;
}

// Sums of values and squares about an origin, so that flat pictures deviate by exactly 0.
struct Moments {
  double first[3] = {}, second[3] = {};
};

using Block = float[3][kBlock];

#define EOSIN_ADD_BLOCK(convert, x, y, z)                                       \
  Floats first[3] = {}, second[3] = {};                                         \
  for (int i = 0; i < kBlock; i += kLanes) {                                    \
    const auto color = convert(Load(p[0] + i), Load(p[1] + i), Load(p[2] + i)); \
    const Floats d[3] = {color.x - o[0], color.y - o[1], color.z - o[2]};       \
    for (int c = 0; c < 3; ++c) {                                               \
      first[c] += d[c];                                                         \
      second[c] += d[c] * d[c];                                                 \
    }                                                                           \
  }                                                                             \
  for (int c = 0; c < 3; ++c) {                                                 \
    AddLanes(first[c], &moments->first[c]);                                     \
    AddLanes(second[c], &moments->second[c]);                                   \
  }

EOSIN_CLONES void AddLab(const Block& p, const float o[3],
                         Moments* moments){EOSIN_ADD_BLOCK(LabOf, l, a, b)} EOSIN_CLONES
    void AddHsv(const Block& p, const float o[3], Moments* moments){EOSIN_ADD_BLOCK(HsvOf, h, s, v)}
#undef EOSIN_ADD_BLOCK

ColorStats Finish(const Moments& moments, const float origin[3], double pixels) {
  ColorStats stats;
  for (int c = 0; c < 3; ++c) {
    const double mean = moments.first[c] / pixels;
    stats.mean[c] = static_cast<float>(double{origin[c]} + mean);
    stats.std[c] =
        static_cast<float>(std::sqrt(std::max(0.0, moments.second[c] / pixels - mean * mean)));
  }
  return stats;
}

// Stains are linear in optical density, so its mean and covariance are all that is needed.
ColorStats MeasureHed(const Image& rgb, int64_t pixels) {
  const uint8_t* at = rgb.pixels.data();
  double first[3] = {}, products[3][3] = {}, origin[3];
  for (int c = 0; c < 3; ++c) origin[c] = kDensities[at[c]];
  for (int64_t i = 0; i < pixels; ++i, at += 3) {
    const double x = kDensities[at[0]] - origin[0], y = kDensities[at[1]] - origin[1],
                 z = kDensities[at[2]] - origin[2];
    first[0] += x;
    first[1] += y;
    first[2] += z;
    products[0][0] += x * x;
    products[1][1] += y * y;
    products[2][2] += z * z;
    products[0][1] += x * y;
    products[0][2] += x * z;
    products[1][2] += y * z;
  }
  const auto n = static_cast<double>(pixels);
  const StainMatrix m = HedDabMatrix();
  double mean[3], stains[3];
  for (int c = 0; c < 3; ++c) mean[c] = origin[c] + first[c] / n;
  Unmix(m, mean, stains);
  ColorStats stats;
  for (int s = 0; s < 3; ++s) {
    double variance = 0;
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) {
        const double product = i < j ? products[i][j] : products[j][i];
        const double covariance = product / n - first[i] / n * (first[j] / n);
        variance += m.inverse[i][s] * covariance * m.inverse[j][s];
      }
    }
    stats.mean[s] = static_cast<float>(stains[s]);
    stats.std[s] = static_cast<float>(std::sqrt(std::max(0.0, variance)));
  }
  return stats;
}

}  // namespace

const float* LinearLight() { return Table().light; }

const char* StainSpaceName(StainSpace space) {
  constexpr const char* kNames[kStainSpaces] = {"lab", "hsv", "hed"};
  return kNames[static_cast<size_t>(space)];
}

ColorStats MeasureColors(const Image& rgb, StainSpace space) {
  const int64_t pixels = int64_t{rgb.width} * rgb.height;
  if (rgb.empty() || rgb.channels != 3 || pixels <= 0) {
    throw DataError("no colours to measure in a picture of " + std::to_string(rgb.width) + " x " +
                        std::to_string(rgb.height) + " pixels with " +
                        std::to_string(rgb.channels) + " channels",
                    "RGB pictures with at least one pixel are needed");
  }
  if (space == StainSpace::kHed) return MeasureHed(rgb, pixels);
  const bool lab = space == StainSpace::kLab;
  const float* table = lab ? Table().light : Table().share;
  const auto add = lab ? AddLab : AddHsv;

  // The last block is filled up with the first pixel, which is the origin and adds nothing.
  const uint8_t* at = rgb.pixels.data();
  const float start[3] = {table[at[0]], table[at[1]], table[at[2]]};
  float origin[3];
  if (lab) {
    const Lab color = LabOf(All(start[0]), All(start[1]), All(start[2]));
    origin[0] = color.l[0], origin[1] = color.a[0], origin[2] = color.b[0];
  } else {
    const Hsv color = HsvOf(All(start[0]), All(start[1]), All(start[2]));
    origin[0] = color.h[0], origin[1] = color.s[0], origin[2] = color.v[0];
  }
  Moments moments;
  for (int64_t from = 0; from < pixels; from += kBlock) {
    Block block;
    const int count = static_cast<int>(std::min<int64_t>(kBlock, pixels - from));
    for (int i = 0; i < count; ++i, at += 3) {
      for (int c = 0; c < 3; ++c) block[c][i] = table[at[c]];
    }
    for (int c = 0; c < 3; ++c) std::fill(block[c] + count, block[c] + kBlock, start[c]);
    add(block, origin, &moments);
  }
  return Finish(moments, origin, static_cast<double>(pixels));
}

}  // namespace eosin::core
