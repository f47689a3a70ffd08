// SPDX-License-Identifier: Apache-2.0
// Loops over one row of a view: three planes of floats on the 0..255 scale. Always inlined, so that
// each function of apply.cc compiles them for its own instruction set. C++17.
#pragma once

#include <cstdint>
#include <cstring>

#include "engine/augment/pixel_ops.h"
#include "engine/augment/view_params.h"

#define EOSIN_ROW inline __attribute__((always_inline))
#if defined(__clang__)
#define EOSIN_VECTORIZE _Pragma("clang loop vectorize(enable)")
#elif defined(__GNUC__)
#define EOSIN_VECTORIZE _Pragma("GCC ivdep")
#else
#define EOSIN_VECTORIZE
#endif

namespace eosin::engine::row {

using pixel::Rgb;

struct Planes {  // one row of each channel
  float *r, *g, *b;
};

// Interleaved RGB bytes to one 32-bit word a pixel, so that a filter tap is one gather.
EOSIN_ROW void PackRow(const uint8_t* rgb, uint32_t* packed, int n) {
  for (int x = 0; x + 1 < n; ++x) {  // reads one byte beyond its pixel
    uint32_t word;
    std::memcpy(&word, rgb + 3 * x, 4);
    packed[x] = word;
  }
  const uint8_t* last = rgb + 3 * (n - 1);
  packed[n - 1] = last[0] | (uint32_t{last[1]} << 8) | (uint32_t{last[2]} << 16);
}

// Horizontal filter over packed pixels.
EOSIN_ROW void FilterPacked(const uint32_t* packed, const int* start, const float* weights,
                            int count, int n, Planes out) {
  EOSIN_VECTORIZE
  for (int x = 0; x < n; ++x) {
    const uint32_t p0 = packed[start[x]];
    const float w = weights[x];
    out.r[x] = w * static_cast<float>(static_cast<int>(p0 & 255u));
    out.g[x] = w * static_cast<float>(static_cast<int>((p0 >> 8) & 255u));
    out.b[x] = w * static_cast<float>(static_cast<int>((p0 >> 16) & 255u));
  }
  for (int k = 1; k < count; ++k) {
    const float* tap = weights + static_cast<int64_t>(k) * n;
    EOSIN_VECTORIZE
    for (int x = 0; x < n; ++x) {
      const uint32_t p0 = packed[start[x] + k];
      const float w = tap[x];
      out.r[x] += w * static_cast<float>(static_cast<int>(p0 & 255u));
      out.g[x] += w * static_cast<float>(static_cast<int>((p0 >> 8) & 255u));
      out.b[x] += w * static_cast<float>(static_cast<int>((p0 >> 16) & 255u));
    }
  }
}

// Horizontal filter over interleaved floats.
EOSIN_ROW void FilterInterleaved(const float* rgb, const int* start, const float* weights,
                                 int count, int n, Planes out) {
  for (int k = 0; k < count; ++k) {
    const float* tap = weights + static_cast<int64_t>(k) * n;
    const float keep = k == 0 ? 0.0f : 1.0f;
    EOSIN_VECTORIZE
    for (int x = 0; x < n; ++x) {
      const int i = 3 * (start[x] + k);
      const float w = tap[x];
      out.r[x] = keep * out.r[x] + w * rgb[i];
      out.g[x] = keep * out.g[x] + w * rgb[i + 1];
      out.b[x] = keep * out.b[x] + w * rgb[i + 2];
    }
  }
}

EOSIN_ROW void ScaleBytes(const uint8_t* in, float weight, float* out, int n) {
  EOSIN_VECTORIZE
  for (int i = 0; i < n; ++i) out[i] = weight * static_cast<float>(in[i]);
}
EOSIN_ROW void AddBytes(const uint8_t* in, float weight, float* out, int n) {
  EOSIN_VECTORIZE
  for (int i = 0; i < n; ++i) out[i] += weight * static_cast<float>(in[i]);
}
EOSIN_ROW void Scale(const float* in, float weight, float* out, int n) {
  EOSIN_VECTORIZE
  for (int i = 0; i < n; ++i) out[i] = weight * in[i];
}
EOSIN_ROW void Add(const float* in, float weight, float* out, int n) {
  EOSIN_VECTORIZE
  for (int i = 0; i < n; ++i) out[i] += weight * in[i];
}
EOSIN_ROW void AddPair(const float* a, const float* b, float weight, float* out, int n) {
  EOSIN_VECTORIZE
  for (int i = 0; i < n; ++i) out[i] += weight * (a[i] + b[i]);
}

#define EOSIN_FOR_ROW(n, expression)                \
  EOSIN_VECTORIZE                                   \
  for (int x = 0; x < (n); ++x) {                   \
    const Rgb p = {row.r[x], row.g[x], row.b[x]};   \
    const Rgb q = expression;                       \
    row.r[x] = q.r, row.g[x] = q.g, row.b[x] = q.b; \
  }

// clang-format off: each macro is a loop, which the formatter does not see
EOSIN_ROW void MapStains(Planes row, int n, const core::StainAffine& stains) {
  const core::StainAffine s = stains;
  EOSIN_FOR_ROW(n, pixel::MapStains(p, s))
}
EOSIN_ROW void MapLab(Planes row, int n, const pixel::ChannelAffine& map) {
  const pixel::ChannelAffine m = map;
  EOSIN_FOR_ROW(n, pixel::MapLab(p, m))
}
EOSIN_ROW void MapHsv(Planes row, int n, const pixel::ChannelAffine& map) {
  const pixel::ChannelAffine m = map;
  EOSIN_FOR_ROW(n, pixel::MapHsv(p, m))
}
EOSIN_ROW void Clamp(Planes row, int n) {
  EOSIN_FOR_ROW(n, (Rgb{pixel::Clamp(p.r), pixel::Clamp(p.g), pixel::Clamp(p.b)}))
}
EOSIN_ROW void Brightness(Planes row, int n, float factor) {
  EOSIN_FOR_ROW(n, pixel::Blend(p, 0.0f, factor))
}
EOSIN_ROW void Contrast(Planes row, int n, float factor, float mean) {
  EOSIN_FOR_ROW(n, pixel::Blend(p, mean, factor))
}
EOSIN_ROW void Saturation(Planes row, int n, float factor) {
  EOSIN_FOR_ROW(n, pixel::Blend(p, pixel::Luma(p), factor))
}
EOSIN_ROW void Hue(Planes row, int n, float turns) {
  const float turns6 = 6.0f * turns;
  EOSIN_FOR_ROW(n, pixel::ShiftHue(p, turns6))
}
EOSIN_ROW void Gray(Planes row, int n) {
  EOSIN_FOR_ROW(n, (Rgb{pixel::Luma(p), pixel::Luma(p), pixel::Luma(p)}))
}
EOSIN_ROW void Solarize(Planes row, int n, float level) {
  EOSIN_FOR_ROW(n, (Rgb{pixel::Solarize(p.r, level), pixel::Solarize(p.g, level),
                        pixel::Solarize(p.b, level)}))
}
// clang-format on
#undef EOSIN_FOR_ROW

// Sum of luma in 16 fixed lanes: the same order of additions on every instruction set.
EOSIN_ROW double LumaSum(Planes row, int n) {
  float lanes[16] = {};
  const int whole = n / 16 * 16;
  for (int x = 0; x < whole; x += 16) {
    for (int l = 0; l < 16; ++l) {
      lanes[l] += pixel::Luma({row.r[x + l], row.g[x + l], row.b[x + l]});
    }
  }
  double sum = 0;
  for (int l = 0; l < 16; ++l) sum += lanes[l];
  for (int x = whole; x < n; ++x) sum += pixel::Luma({row.r[x], row.g[x], row.b[x]});
  return sum;
}

// Symmetric filter along one row with reflected ends (the edge pixel is not repeated). padded has
// room for n + 2 * radius floats; weights[k] is the weight at distance k. n > radius.
EOSIN_ROW void BlurAlong(float* values, int n, const float* weights, int radius, float* padded) {
  std::memcpy(padded + radius, values, sizeof(float) * static_cast<size_t>(n));
  for (int k = 1; k <= radius; ++k) {
    padded[radius - k] = values[k];
    padded[radius + n - 1 + k] = values[n - 1 - k];
  }
  const float* centre = padded + radius;
  Scale(centre, weights[0], values, n);
  for (int k = 1; k <= radius; ++k) AddPair(centre - k, centre + k, weights[k], values, n);
}

// Rounds to bytes, interleaved, and puts the row where its pixels belong.
EOSIN_ROW void StoreRow(Planes row, int n, pixel::RowPlacement at, uint8_t* bytes, uint8_t* out) {
  uint8_t* first = out + 3 * at.base;
  if (at.step == 1) bytes = first;
  EOSIN_VECTORIZE
  for (int x = 0; x < n; ++x) {
    bytes[3 * x] = pixel::ToByte(row.r[x]);
    bytes[3 * x + 1] = pixel::ToByte(row.g[x]);
    bytes[3 * x + 2] = pixel::ToByte(row.b[x]);
  }
  if (at.step == 1) return;
  const int64_t step = 3 * at.step;
  for (int x = 0; x < n; ++x) {
    uint8_t* to = first + x * step;
    to[0] = bytes[3 * x], to[1] = bytes[3 * x + 1], to[2] = bytes[3 * x + 2];
  }
}

}  // namespace eosin::engine::row
