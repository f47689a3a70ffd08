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

constexpr std::array<float, 256> MakeInkDensities() {
  std::array<float, 256> table{};
  for (size_t i = 0; i < 256; ++i) {
    table[i] = static_cast<float>(static_cast<int>(core::kDensities[i] * kDensityUnit + 0.5));
  }
  return table;
}

// Whole numbers, so that sums of them and the tests below are exact in float.
inline constexpr std::array<float, 256> kInkDensities = MakeInkDensities();

}  // namespace internal

// Arguments of both: kInkDensities of the three channels. Free of branches: loops over them
// vectorise.
inline bool IsCoolInk(float r, float g, float b) {
  const bool absorbs_red = (100 * r > 115 * g) & (100 * r > 110 * b) &
                           (5 * (r - std::min(g, b)) > 1.0f * internal::kDensityUnit);
  const bool blue = (10 * r > 14 * g) & (2 * (r - b) > 1.0f * internal::kDensityUnit);
  return absorbs_red & ((2 * b >= g) | blue);
}
inline bool IsRedInk(float r, float g, float b) {
  return (100 * b > 66 * g + 25 * r) & (25 * r < 4 * (r + g + b)) & (5 * b < 6 * g) &
         (20 * std::max(g, b) > 9.0f * internal::kDensityUnit);
}
inline bool IsBlackInk(float r, float g, float b) {
  constexpr float kLeast = internal::kInkDensities[110];
  constexpr float kMost = internal::kInkDensities[kScannerBlack];
  const float lightest = std::min(r, std::min(g, b)), sum = r + g + b;
  return (lightest > kLeast) & (lightest < kMost) & (1000 * g < 352 * sum) & (4 * g > sum) &
         (25 * r > 6 * sum) & (5 * r < 2 * sum) & (100 * b > 27 * sum) & (50 * b < 21 * sum);
}
inline bool IsPen(float r, float g, float b) {
  const bool cool = IsCoolInk(r, g, b), red = IsRedInk(r, g, b), black = IsBlackInk(r, g, b);
  return cool | red | black;
}

inline bool IsPen(uint8_t red, uint8_t green, uint8_t blue) {
  return IsPen(internal::kInkDensities[red], internal::kInkDensities[green],
               internal::kInkDensities[blue]);
}

inline Ink InkOf(uint8_t red, uint8_t green, uint8_t blue) {
  const float r = internal::kInkDensities[red];
  const float g = internal::kInkDensities[green];
  const float b = internal::kInkDensities[blue];
  if (IsCoolInk(r, g, b)) return 10 * b > 9 * g ? Ink::kGreen : Ink::kBlue;
  if (IsRedInk(r, g, b)) return Ink::kRed;
  return IsBlackInk(r, g, b) ? Ink::kBlack : Ink::kNone;
}

}  // namespace eosin::tiling
