// SPDX-License-Identifier: Apache-2.0
// The arithmetic of one pixel, without branches so that loops over it vectorise. Channels are
// floats on the 0..255 scale. C++17, host and device: the CPU rows (row_ops.h) and a CUDA kernel
// share it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/base/philox.h"  // EOSIN_HOST_DEVICE
#include "core/stain/hed.h"

#if defined(__CUDACC__)
#define EOSIN_PIXEL __host__ __device__ __forceinline__
#else
#define EOSIN_PIXEL inline __attribute__((always_inline))
#endif

namespace eosin::engine::pixel {

struct Rgb {
  float r, g, b;
};

EOSIN_PIXEL float Min(float a, float b) { return a < b ? a : b; }
EOSIN_PIXEL float Max(float a, float b) { return a > b ? a : b; }
EOSIN_PIXEL float Clamp(float v) { return Min(Max(v, 0.0f), 255.0f); }

EOSIN_PIXEL float Luma(Rgb p) { return 0.2989f * p.r + 0.587f * p.g + 0.114f * p.b; }

// torchvision's _blend: p * ratio + other * (1 - ratio), clamped.
EOSIN_PIXEL Rgb Blend(Rgb p, float other, float ratio) {
  const float rest = other * (1.0f - ratio);
  return {Clamp(p.r * ratio + rest), Clamp(p.g * ratio + rest), Clamp(p.b * ratio + rest)};
}

// One channel of HSV -> RGB: n = 5, 3, 1 for R, G, B; hue6 in [0, 6).
EOSIN_PIXEL float HueChannel(float n, float hue6, float value, float range) {
  float k = n + hue6;
  k = k >= 6.0f ? k - 6.0f : k;
  return value - range * Max(0.0f, Min(Min(k, 4.0f - k), 1.0f));
}

// Adds `turns6` / 6 of a turn (-3..3 sixths) to the hue; value and saturation stay.
EOSIN_PIXEL Rgb ShiftHue(Rgb p, float turns6) {
  const float value = Max(p.r, Max(p.g, p.b));
  const float range = value - Min(p.r, Min(p.g, p.b));
  const float scale = 1.0f / (range > 0.0f ? range : 1.0f);
  const float from_red = (p.g - p.b) * scale;
  const float from_green = (p.b - p.r) * scale + 2.0f;
  const float from_blue = (p.r - p.g) * scale + 4.0f;
  float hue6 = value == p.g ? from_green : from_blue;
  hue6 = (value == p.r ? from_red : hue6) + (turns6 + 6.0f);  // in [2, 14]
  hue6 = hue6 >= 6.0f ? hue6 - 6.0f : hue6;
  hue6 = hue6 >= 6.0f ? hue6 - 6.0f : hue6;
  return {HueChannel(5.0f, hue6, value, range), HueChannel(3.0f, hue6, value, range),
          HueChannel(1.0f, hue6, value, range)};
}

EOSIN_PIXEL float FloatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
EOSIN_PIXEL uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// ln(x) for normal x > 0; absolute error below 2e-6 for x in [2^-8, 1].
EOSIN_PIXEL float FastLog(float x) {
  const uint32_t bits = BitsOf(x);
  // Mantissa into [sqrt(1/2), sqrt(2)): the exponent is counted from sqrt(1/2)'s bits.
  const int32_t exponent = static_cast<int32_t>(bits - 0x3F3504F3u) >> 23;
  const float t = FloatOf(bits - (static_cast<uint32_t>(exponent) << 23)) - 1.0f;
  float q = 0.12210965156555176f;
  q = q * t - 0.1878272444009781f;
  q = q * t + 0.20454756915569305f;
  q = q * t - 0.24896793067455292f;
  q = q * t + 0.33316028118133545f;
  q = q * t - 0.5000140070915222f;
  q = q * t + 1.0000008344650269f;
  return q * t + static_cast<float>(exponent) * 0.6931471805599453f;
}

// exp(x), x clamped to [-80, 80]; relative error below 1e-6.
EOSIN_PIXEL float FastExp(float x) {
  x = Min(Max(x, -80.0f), 80.0f);
  const float shifted = x * 1.4426950408889634f + 12582912.0f;  // 1.5 * 2^23: rounds to integer
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float q = 0.008375131525099277f;
  q = q * r + 0.04187566414475441f;
  q = q * r + 0.16666433215141296f;
  q = q * r + 0.4999937117099762f;
  q = q * r + 1.0f;
  const float power = FloatOf((BitsOf(shifted) - 0x4B400000u + 127u) << 23);
  return (q * r + 1.0f) * power;
}

// The cube root of normal x > 0, relative error below 1e-6: x^(-1/3) guessed from the exponent bits
// (within 3.5 %), then the series of (1 - error)^(-1/3).
EOSIN_PIXEL float FastCbrt(float x) {
  const float guess =
      1419900672.0f - static_cast<float>(static_cast<int32_t>(BitsOf(x))) * 0.33333334f;
  const float y = FloatOf(static_cast<uint32_t>(static_cast<int32_t>(guess)));
  const float error = 1.0f - x * y * y * y;
  float q = 0.12482853223593965f;
  q = q * error + 0.1440329218106996f;
  q = q * error + 0.1728395061728395f;
  q = q * error + 0.2222222222222222f;
  q = q * error + 0.3333333333333333f;
  const float root = y + y * (q * error);  // x^(-1/3)
  return x * root * root;
}

// Any density map: levels -> natural optical density -> affine map -> levels, clamped.
EOSIN_PIXEL Rgb MapStains(Rgb p, const core::StainAffine& s) {
  const float r = -FastLog((p.r + 1.0f) * 0.00390625f);
  const float g = -FastLog((p.g + 1.0f) * 0.00390625f);
  const float b = -FastLog((p.b + 1.0f) * 0.00390625f);
  const float out_r = r * s.a[0][0] + g * s.a[1][0] + b * s.a[2][0] + s.b[0];
  const float out_g = r * s.a[0][1] + g * s.a[1][1] + b * s.a[2][1] + s.b[1];
  const float out_b = r * s.a[0][2] + g * s.a[1][2] + b * s.a[2][2] + s.b[2];
  return {Clamp(256.0f * FastExp(-out_r) - 1.0f), Clamp(256.0f * FastExp(-out_g) - 1.0f),
          Clamp(256.0f * FastExp(-out_b) - 1.0f)};
}

// Scale and offset of each channel of a colour space.
struct ChannelAffine {
  float scale[3], offset[3];
};

// sRGB's transfer curve (IEC 61966-2-1), both ways, 0..1. To linear: a polynomial, within 0.002
// grey levels of the curve; back: v^(5/12) = c * c^(1/4) of the cube root c.
EOSIN_PIXEL float LinearOf(float v) {
  float curve = 0.10393757373094559f;
  curve = curve * v - 0.42088478803634644f;
  curve = curve * v + 0.7380183339118958f;
  curve = curve * v - 0.7942575216293335f;
  curve = curve * v + 0.8511049151420593f;
  curve = curve * v + 0.48590946197509766f;
  curve = curve * v + 0.03532923012971878f;
  curve = curve * v + 0.0008527558529749513f;
  return v > 0.04045f ? curve : v * 0.07739938080495357f;
}
EOSIN_PIXEL float SrgbOf(float v) {
  v = Min(Max(v, 0.0f), 1.0f);
  const float root = FastCbrt(Max(v, 0.003f));
  const float curve = 1.055f * root * std::sqrt(std::sqrt(root)) - 0.055f;
  return v > 0.0031308f ? curve : v * 12.92f;
}
// CIELAB's curve of a tristimulus share, both ways.
EOSIN_PIXEL float LabCurve(float t) {
  const float root = FastCbrt(Max(t, 0.008f));
  return t > 0.008856f ? root : 7.787f * t + 0.13793103448275862f;
}
EOSIN_PIXEL float LabCurveBack(float f) {
  return f > 0.2068966f ? f * f * f : (f - 0.13793103448275862f) * 0.12841916013869268f;
}

// Levels -> CIELAB (D65, 2 degrees; L 0..100) -> scale and offset -> levels, clamped. Constants of
// scikit-image's rgb2lab and lab2rgb; within 0.1 grey levels of the formula in double precision.
EOSIN_PIXEL Rgb MapLab(Rgb p, const ChannelAffine& m) {
  const float r = LinearOf(p.r * 0.00392156862745098f);
  const float g = LinearOf(p.g * 0.00392156862745098f);
  const float b = LinearOf(p.b * 0.00392156862745098f);
  // sRGB to XYZ, rows divided by the white point (.95047, 1, 1.08883).
  const float x = LabCurve(0.433946363f * r + 0.376213873f * g + 0.189825034f * b);
  const float y = LabCurve(0.212671f * r + 0.71516f * g + 0.072169f * b);
  const float z = LabCurve(0.017756675f * r + 0.109468879f * g + 0.872704646f * b);
  const float lightness = (116.0f * y - 16.0f) * m.scale[0] + m.offset[0];
  const float red_green = 500.0f * (x - y) * m.scale[1] + m.offset[1];
  const float yellow_blue = 200.0f * (y - z) * m.scale[2] + m.offset[2];
  const float fy = (lightness + 16.0f) * 0.008620689655172414f;
  const float fx = fy + red_green * 0.002f;
  const float fz = Max(fy - yellow_blue * 0.005f, 0.0f);  // as lab2rgb: no negative Z
  const float cx = LabCurveBack(fx) * 0.95047f;
  const float cy = LabCurveBack(fy);
  const float cz = LabCurveBack(fz) * 1.08883f;
  return {Clamp(255.0f * SrgbOf(3.2404813432f * cx - 1.5371515163f * cy - 0.4985363262f * cz)),
          Clamp(255.0f * SrgbOf(-0.9692549500f * cx + 1.8759900015f * cy + 0.0415559266f * cz)),
          Clamp(255.0f * SrgbOf(0.0556466391f * cx - 0.2040413384f * cy + 1.0573110696f * cz))};
}

// Levels -> hue, saturation, value in 0..1 (scikit-image's rgb2hsv) -> scale and offset; hue wraps,
// saturation and value are clamped -> levels. Hue has a cut at red: a pixel within float rounding
// of it may land on either side when hue is scaled.
EOSIN_PIXEL Rgb MapHsv(Rgb p, const ChannelAffine& m) {
  const float value = Max(p.r, Max(p.g, p.b));
  const float range = value - Min(p.r, Min(p.g, p.b));
  const float share = 1.0f / (range > 0.0f ? range : 1.0f);
  const float from_red = (p.g - p.b) * share;
  const float from_green = (p.b - p.r) * share + 2.0f;
  const float from_blue = (p.r - p.g) * share + 4.0f;
  float hue6 = value == p.g ? from_green : from_blue;
  hue6 = value == p.r ? from_red : hue6;
  hue6 = hue6 < 0.0f ? hue6 + 6.0f : hue6;
  const float hue = hue6 * 0.16666666666666666f * m.scale[0] + m.offset[0];
  const float turned = hue - ((hue + 12582912.0f) - 12582912.0f);  // -1/2..1/2 turns
  hue6 = 6.0f * (turned < 0.0f ? turned + 1.0f : turned);
  hue6 = hue6 >= 6.0f ? 0.0f : hue6;
  const float saturation = range / Max(value, 1e-6f) * m.scale[1] + m.offset[1];
  const float level = Clamp(255.0f * (value * 0.00392156862745098f * m.scale[2] + m.offset[2]));
  const float spread = level * Min(Max(saturation, 0.0f), 1.0f);
  return {HueChannel(5.0f, hue6, level, spread), HueChannel(3.0f, hue6, level, spread),
          HueChannel(1.0f, hue6, level, spread)};
}

EOSIN_PIXEL float Solarize(float v, float threshold) { return v >= threshold ? 255.0f - v : v; }

EOSIN_PIXEL uint8_t ToByte(float v) {
  return static_cast<uint8_t>(static_cast<int>(Clamp(v) + 0.5f));
}

// Where pixel (x, y) of the resized crop lands after hflip, vflip and rot90 (counter-clockwise, as
// numpy.rot90): at pixel offset base + x * step of the output.
struct RowPlacement {
  int64_t base, step;
};
EOSIN_PIXEL RowPlacement PlaceRow(int y, int width, int height, int hflip, int vflip, int rot90) {
  const int row = vflip ? height - 1 - y : y;
  // Offset of (x, row) is origin + x * step before the mirror.
  int64_t base = 0, step = 0;
  switch (rot90 & 3) {
    case 0:
      base = int64_t{row} * width, step = 1;
      break;
    case 1:
      base = int64_t{width - 1} * height + row, step = -height;
      break;
    case 2:
      base = int64_t{height - row} * width - 1, step = -1;
      break;
    default:
      base = height - 1 - row, step = height;
      break;
  }
  if (hflip) base += step * (width - 1), step = -step;
  return {base, step};
}

}  // namespace eosin::engine::pixel
