// SPDX-License-Identifier: Apache-2.0
// Whether two pictures are copies of one photograph: equal pixels, or the same structure after
// re-encoding, re-staining, another brightness or contrast, mirroring, quarter turns, resizing, or
// with up to an eighth of each side cut off.
//
// A fingerprint is the picture's optical density (mean of the channels) at 16 x 16 and 48 x 48
// pixels, of the whole picture and of four inner parts, freed of brightness and contrast (mean 0,
// norm 1) and the larger one of everything wider than a seventh of the picture, because the
// large-scale layout of two different fields of one tissue may well agree. Two pictures resemble
// each other as much as their 48 x 48 maps correlate, one's whole with the other's whole or inner
// parts, at the best of the eight mirrorings and quarter turns and of shifts by up to two pixels
// (4 % of a side); the 16 x 16 maps only choose what is looked at closer.
//
// How the threshold was chosen, what is found and what is not (other angles, small crops): see
// docs/study.md and tools/bench/leaks.cc. Torch-free, pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/image/image.h"

namespace eosin::segment {

inline constexpr int kCoarseSide = 16, kFineSide = 48;
// From this resemblance on two pictures count as copies.
inline constexpr double kCopyThreshold = 0.6;
// Share of each side that the inner parts leave out.
inline constexpr std::array<double, 5> kBorders = {0, 0.03, 0.06, 0.09, 0.12};

// One part of a picture.
struct StructureMap {
  std::array<float, kCoarseSide * kCoarseSide> coarse{};
  std::array<float, kFineSide * kFineSide> fine{};
};

struct Fingerprint {
  std::string pixels;  // XXH3-128 of size and decoded pixels, hex
  bool blank = false;  // next to no structure (glass): only equal pixels are told apart
  std::array<StructureMap, kBorders.size()> parts;  // by kBorders; the first is the whole picture
};

Fingerprint MakeFingerprint(const core::Image& rgb);

// -1..1; 1 where the pixels are equal, 0 where one is blank or the coarse maps are far apart.
double Resemblance(const Fingerprint& a, const Fingerprint& b);

struct CopyPair {
  int64_t a = 0, b = 0;  // indices into the lists
  double resemblance = 0;
};

// Pairs of one list with at least `threshold`, a < b, by a and b.
std::vector<CopyPair> FindCopies(const std::vector<Fingerprint>& prints, int threads,
                                 double threshold = kCopyThreshold);

}  // namespace eosin::segment
