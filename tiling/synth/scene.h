// SPDX-License-Identifier: Apache-2.0
// What is on one made slide, as functions of the place: nothing is stored for the whole slide, so a
// scene of any size costs a few kB. Lengths in um, places in um from the upper left corner. Every
// draw is keyed by (seed, slide, lattice cell), so any window can be asked for in any order.
// Internal to tiling/synth.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/philox.h"

namespace eosin::tiling {

struct Point {
  float x = 0, y = 0;
};

// Smooth random values in [0, 1): a lattice of Philox bytes, 128 x 128 cells, repeating.
class NoiseField {
 public:
  NoiseField(uint64_t seed, uint32_t slide);
  // x, y in cells, > -4096.
  float operator()(float x, float y) const;

 private:
  std::array<uint8_t, 128 * 128> lattice_;
};

// How the stains look and what the glands of a patient are like.
struct SceneTraits {
  std::array<float, 3> hematoxylin, eosin;  // optical density (natural) a unit of stain, R G B
  float illumination = 0;                   // optical density of the empty slide
  float warmth = 0;                         // its tint
  float spacing = 160;                      // um between gland centres
  float stretch = 1, stretch_angle = 0;     // glands cut lengthwise
  float fill = 0.5f;                        // gland radius / spacing
  float keep = 0.9f;                        // share of lattice places that hold a gland
  float irregular = 0.1f;                   // of the outline
  float dysplasia = 0;  // 0..1: larger, darker nuclei that leave the basal row; fewer goblets
  float goblets = 0.5f;
  float cellular = 1;  // stroma nuclei
};

struct Gland {
  static constexpr int kAngles = 128;
  Point centre;
  float reach = 0;                              // no point of it is farther from the centre
  float least_inner = 0;                        // the lumen holds this circle
  std::array<float, kAngles + 1> outer, inner;  // radii by angle from -pi; inner = lumen's edge
  float secretion = 0;                          // 0 = empty lumen, 1 = pink
  float tone = 1;                               // of the epithelium
  uint32_t id = 0;                              // lattice cell, keys further draws
};

struct Piece {
  static constexpr int kAngles = 256;
  Point centre, radius;  // ellipse
  float cosine = 1, sine = 0;
  std::array<float, kAngles + 1> outline;  // factor on the ellipse
};

struct PenStroke {
  std::vector<Point> path;
  float half_width = 0;
  std::array<float, 3> density{};  // optical density R G B
};

class Scene {
 public:
  // width, height in um. The patient decides the morphology, the slide everything else.
  Scene(uint64_t seed, uint32_t slide, uint32_t patient, float width, float height, bool pen);

  // About the distance from the tissue's edge, > 0 inside.
  float Tissue(Point p) const;
  // Glands that may touch the box.
  std::vector<Gland> GlandsIn(Point low, Point high) const;
  // 0..1, and 0 everywhere on slides without a pen mark.
  float Pen(Point p) const;
  bool PenNear(Point low, Point high) const;

  core::PhiloxStream Stream(uint32_t sample, uint32_t layer) const {
    return {seed_, core::DrawPurpose::kSynth, slide_, sample, layer};
  }
  const SceneTraits& traits() const { return traits_; }
  const NoiseField& noise() const { return noise_; }
  const PenStroke& pen() const { return pen_; }

 private:
  void MakePieces(float width, float height);
  void MakePen(float width, float height);
  Point LatticePoint(int column, int row) const;
  bool MakeGland(int column, int row, Gland* gland) const;

  uint64_t seed_;
  uint32_t slide_;
  SceneTraits traits_;
  NoiseField noise_;
  std::vector<Piece> pieces_;
  PenStroke pen_;
};

// Layers of draws within a slide.
enum SceneLayer : uint32_t {
  kLayerStain = 0,
  kLayerPatient = 1,
  kLayerPieces = 2,
  kLayerPen = 3,
  kLayerNoise = 4,
  kLayerPlace = 5,
  kLayerGland = 6,
  kLayerNuclei = 7,
  kLayerStroma = 8,
  kLayerGrain = 9,
  kLayerRegions = 10
};

// Angle in (-pi, pi], off by less than 0.002.
float FastAngle(float y, float x);

// Value at an angle from -pi to pi of a table whose last entry repeats the first.
template <size_t N>
float AtAngle(const std::array<float, N>& table, float angle) {
  const float at = (angle + 3.14159265f) * (static_cast<float>(N - 1) / 6.28318531f);
  int i = static_cast<int>(at);
  i = i < 0 ? 0 : i > static_cast<int>(N) - 2 ? static_cast<int>(N) - 2 : i;
  const float t = at - static_cast<float>(i);
  return table[i] + (table[i + 1] - table[i]) * t;
}

}  // namespace eosin::tiling
