// SPDX-License-Identifier: Apache-2.0
// Paints windows of a scene: stain densities per pixel, then Beer-Lambert to RGB,
// I = 255 exp(-(h H + e E + glass)). Internal to tiling/synth.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/image/image.h"
#include "tiling/synth/scene.h"

namespace eosin::tiling {

// Level-0 pixels of one square window: tiles of a slide, aligned to kTile.
struct PaintedTile {
  static constexpr int kTile = 256;
  core::Image rgb{kTile, kTile, 3};
  core::Image truth{kTile, kTile, 1};   // 0 outside glands, 1 gland
  core::Image tissue{kTile, kTile, 1};  // 1 = tissue without pen; what regions are chosen by
};

// Not thread-safe: one a thread.
class Painter {
 public:
  Painter(const Scene& scene, double mpp);

  // The tile whose upper left pixel is (column, row) * kTile; `glands` = what may touch it.
  void Paint(int64_t column, int64_t row, const std::vector<Gland>& glands, PaintedTile* tile);

 private:
  static constexpr int kTile = PaintedTile::kTile;
  static constexpr int kStep = 16;  // px between nodes of slow fields
  static constexpr int kNodes = kTile / kStep + 1;
  struct Stamp {  // a soft ellipse
    Point centre;
    float long_axis, short_axis, cosine, sine;
    float hematoxylin, eosin;  // what it becomes
    float rim;                 // darker border, 0..1
    uint8_t on;                // only where truth has this value
  };

  void PaintStroma(bool* blank);
  void PaintGland(const Gland& gland);
  void PaintGlandCells(const Gland& gland);
  void PaintStromaCells();
  void PaintStamp(const Stamp& stamp);
  void PaintPen();
  void Compose(int64_t column, int64_t row, bool blank);
  // Pixels of [low, high] um inside the tile; false when there are none.
  bool Clip(float low, float high, float origin, int* first, int* last) const;

  const Scene& scene_;
  const float mpp_;
  Point origin_;  // um, of the tile's corner
  std::vector<float> h_, e_;
  std::vector<uint8_t> pen_;
  bool has_pen_ = false;
  std::array<float, kNodes * kNodes> tissue_node_, fibre_u_node_, fibre_v_node_, density_node_;
  std::array<uint8_t, 4096> transmit_;  // exp table: density in 1/512
  PaintedTile* tile_ = nullptr;
};

}  // namespace eosin::tiling
