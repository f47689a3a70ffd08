// SPDX-License-Identifier: Apache-2.0
// Sums of optical density and ink over small blocks of a tile, and what areas of ink and of folded
// tissue they show. Part of ScoreTile (quality.h).
//
// A fold is tissue upon tissue: its density is about twice that of the tissue beside it and its hue
// the same (a cluster of nuclei is darker too, but bluer). Over blocks of 4 x 4 px (8 um at
// 2 um/px), with s a block's summed density and s0 the 35th percentile of s over the tile's tissue
// (s > 0.3), in tiles whose tissue at or below s0 is coloured (shares of s at least 0.06 apart):
//   core   s > 1.7 s0, s > 1.2, each channel's share of s within 0.05 of that tissue's, and at
//          least 2 of the 4 neighbours likewise
//   fold   the core and its neighbours with s > 1.3 s0, s > 1, shares within 0.07
// Measured against the tile itself, so that dark slides have no more folds than pale ones; a tile
// that is folded for more than two thirds shows none. Dense epithelium beside pale stroma scores
// some: on unfolded tiles the mean is 0.012 (GlaS) and 0.019 (TCGA), with a made fold across a
// quarter of the tile 0.21 and 0.27 (AUC 0.98, 0.99).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace eosin::tiling {

inline constexpr int kFoldBlock = 4;  // px

class DensityBlocks {
 public:
  // Densities in units of 1/1024, summed over a block's pixels; those at the right and lower edge
  // hold fewer.
  struct Block {
    float red = 0, green = 0, blue = 0;  // whole numbers
    int32_t ink = 0;                     // pixels
  };

  DensityBlocks(int width, int height);
  Block* row(int y) { return &blocks_[static_cast<size_t>(y) * static_cast<size_t>(columns_)]; }

  // Shares of the tile's area. Ink counts by whole blocks, those where at least half of the pixels
  // are: single pixels of tissue look like ink, and strokes have gaps.
  double InkShare() const;
  double FoldShare() const;

 private:
  int Pixels(int column, int row) const;
  double Share(const std::vector<uint8_t>& marked) const;

  int width_, height_, columns_, rows_;
  std::vector<Block> blocks_;
};

}  // namespace eosin::tiling
