// SPDX-License-Identifier: Apache-2.0
// Eight pixels at a time in GCC's and clang's vector types (plain IEEE arithmetic of each lane, so
// equal on every machine), and the colour conversions of stain statistics on them. Included by the
// .cc files of this folder only; compile those with -O3 and -ffp-contract=off.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

// Vectors are passed between functions that are all inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace eosin::core {

using Floats = float __attribute__((vector_size(32)));
using Ints = int32_t __attribute__((vector_size(32)));
inline constexpr int kLanes = 8;
#define EOSIN_LANES inline __attribute__((always_inline))  // into every clone

EOSIN_LANES Floats Load(const float* from) {
  Floats v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
EOSIN_LANES Floats All(float v) { return Floats{} + v; }
EOSIN_LANES Floats Least(const Floats& a, const Floats& b) { return a < b ? a : b; }
EOSIN_LANES Floats Most(const Floats& a, const Floats& b) { return a > b ? a : b; }
EOSIN_LANES void AddLanes(const Floats& lanes, double* sum) {
  for (int k = 0; k < kLanes; ++k) *sum += double{lanes[k]};
}

// Linear light 0..1 of the 256 levels of sRGB. Defined in color_stats.cc.
const float* LinearLight();

// CIE's f(t): the cube root, a line near black. Halley's iteration from a guess by the exponent:
// sums, products and quotients alone, so equal on every machine.
EOSIN_LANES Floats CieRoot(const Floats& t) {
  const Floats bits = __builtin_convertvector(std::bit_cast<Ints>(t), Floats);
  Floats y = std::bit_cast<Floats>(__builtin_convertvector(bits * (1.0f / 3), Ints) + 709921077);
  for (int i = 0; i < 2; ++i) {
    const Floats cube = y * y * y;
    y = y * (cube + 2 * t) / (2 * cube + t);
  }
  return t > 0.008856f ? y : 7.787f * t + 16.0f / 116;
}

struct Lab {
  Floats l, a, b;
};

// r, g, b: linear light.
EOSIN_LANES Lab LabOf(const Floats& r, const Floats& g, const Floats& b) {
  // sRGB to XYZ over the white of D65 (2 degrees), as scikit-image has them.
  constexpr float kX = 1 / 0.95047f, kZ = 1 / 1.08883f;
  const Floats x = CieRoot((0.412453f * r + 0.357580f * g + 0.180423f * b) * kX);
  const Floats y = CieRoot(0.212671f * r + 0.715160f * g + 0.072169f * b);
  const Floats z = CieRoot((0.019334f * r + 0.119193f * g + 0.950227f * b) * kZ);
  return {116 * y - 16, 500 * (x - y), 200 * (y - z)};
}

struct Hsv {
  Floats h, s, v;
};

// r, g, b in 0..1 -> hue, saturation, value in 0..1, as scikit-image's rgb2hsv: greys have hue and
// saturation 0.
EOSIN_LANES Hsv HsvOf(const Floats& r, const Floats& g, const Floats& b) {
  const Floats high = Most(r, Most(g, b)), delta = high - Least(r, Least(g, b));
  const Floats by = delta > 0 ? delta : All(1);
  Floats sixths = b == high ? 4 + (r - g) / by : (g == high ? 2 + (b - r) / by : (g - b) / by);
  sixths = sixths < 0 ? sixths + 6 : sixths;
  const Floats none{};
  return {delta > 0 ? sixths / 6 : none, delta > 0 ? delta / high : none, high};
}

}  // namespace eosin::core
