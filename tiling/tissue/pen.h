// SPDX-License-Identifier: Apache-2.0
// Which colours are felt-tip ink. One definition for the tissue mask and the quality score.
//
// Ink is told from stain by which channel absorbs, in natural optical density d = -ln((I + 1)/256):
//   green, blue  red light is absorbed most. Haematoxylin (.65 .70 .29), eosin (.07 .99 .11), DAB
//                (.27 .57 .78) and their mixtures absorb green or blue most.
//                d_r > 1.15 d_g, d_r > 1.1 d_b, d_r - min(d_g, d_b) > 0.2; and where blue light
//                passes almost freely (d_b < 0.5 d_g; over-exposed nuclei look so), d_r > 1.4 d_g
//                and d_r - d_b > 0.5
//   red          green and blue light are absorbed alike (eosin lets blue through, DAB lets green
//                through), red hardly: d_b > 0.66 d_g + 0.25 d_r, d_b < 1.2 d_g,
//                d_r < 0.16 (d_r + d_g + d_b), max(d_g, d_b) > 0.45
//   black        dark and grey: 12 < max(R, G, B) < 110 and the shares of d_r, d_g, d_b in their
//                sum within 0.24-0.40, 0.25-0.352, 0.27-0.42. Darker still is scanner black
// Measured on the pixels of three real pen marks against their masks: 73 % (red, its faint strokes
// included), 96 % (green), 99.7 % (black). Single pixels of tissue can pass (blood, coloured
// fibres: under 1 % of CMU-1-Small-Region): judge by areas, never by one pixel. Stains that absorb
// red light most (Alcian blue, trichrome, methyl green) look like ink.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/stain/density.h"

namespace eosin::tiling {

enum class Ink : uint8_t { kNone, kRed, kGreen, kBlue, kBlack };

// At most this bright in every channel is scanner black.
inline constexpr int kScannerBlack = 12;

namespace internal {

inline constexpr int kDensityUnit = 1024;  // of 1 in optical density

constexpr std::array<int16_t, 256> MakeIntegerDensities() {
  std::array<int16_t, 256> table{};
  for (size_t i = 0; i < 256; ++i) {
    table[i] = static_cast<int16_t>(core::kDensities[i] * kDensityUnit + 0.5);
  }
  return table;
}

inline constexpr std::array<int16_t, 256> kIntegerDensities = MakeIntegerDensities();

}  // namespace internal

inline Ink InkOf(uint8_t red, uint8_t green, uint8_t blue) {
  const int r = internal::kIntegerDensities[red];
  const int g = internal::kIntegerDensities[green];
  const int b = internal::kIntegerDensities[blue];
  const int sum = r + g + b;
  if (100 * r > 115 * g && 100 * r > 110 * b &&
      10 * (r - std::min(g, b)) > 2 * internal::kDensityUnit) {
    if (2 * b >= g) return 10 * b > 9 * g ? Ink::kGreen : Ink::kBlue;
    return 10 * r > 14 * g && 2 * (r - b) > internal::kDensityUnit ? Ink::kBlue : Ink::kNone;
  }
  if (100 * b > 66 * g + 25 * r) {
    if (100 * r < 16 * sum && 10 * b < 12 * g && 100 * std::max(g, b) > 45 * internal::kDensityUnit)
      return Ink::kRed;
    const int brightest = std::max({red, green, blue});
    if (brightest < 110 && brightest > kScannerBlack && 1000 * g < 352 * sum &&
        100 * g > 25 * sum && 100 * r > 24 * sum && 100 * r < 40 * sum && 100 * b > 27 * sum &&
        100 * b < 42 * sum) {
      return Ink::kBlack;
    }
  }
  return Ink::kNone;
}

inline bool IsPen(uint8_t red, uint8_t green, uint8_t blue) {
  return InkOf(red, green, blue) != Ink::kNone;
}

}  // namespace eosin::tiling
