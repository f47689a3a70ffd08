// SPDX-License-Identifier: Apache-2.0
// From a tile's pixels to what the store keeps of it: scores, stain statistics, encoded bytes.
#pragma once

#include <limits>
#include <string>

#include "core/image/codec.h"
#include "core/image/image.h"
#include "core/stain/tile_stain.h"
#include "tiling/extract/plan.h"
#include "tiling/options.h"

namespace eosin::tiling {

// NaN where nothing was measured.
struct TileScores {
  TileScores();
  TileQuality quality;
  core::StainRow stain;
  int exceeded = -1;  // index into kQualityNames of the limit passed; such tiles are left out
};

// Stateless; one serves all threads.
class TileMaker {
 public:
  TileMaker(const Plan& plan, const TileOptions& options);

  // Are pixels needed besides the encoded bytes?
  bool scores() const { return score_ || stain_; }
  // At what scaled-DCT size to decode a stored tile that is copied: the smallest that is no coarser
  // than kScoreMpp by more than a quarter.
  int score_shrink() const { return score_shrink_; }

  // rgb: the tile, decoded at 1 / shrink of its size.
  void Score(const core::Image& rgb, int shrink, TileScores* scores) const;
  void Encode(const core::Image& rgb, core::Bytes* bytes) const;

 private:
  double tile_mpp_;
  bool score_, stain_;
  QualityLimits limits_;
  std::string encoding_;
  int jpeg_quality_;
  int score_shrink_ = 1;
};

}  // namespace eosin::tiling
