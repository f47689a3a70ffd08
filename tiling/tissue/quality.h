// SPDX-License-Identifier: Apache-2.0
// Scores of one tile, each 0 (none) to 1 (all of it): what users reject tiles by.
#pragma once

#include <array>
#include <string>

#include "core/config/option_set.h"
#include "core/image/image.h"

namespace eosin::tiling {

// Tiles are scored at about this scale, so that a score means the same on every slide and costs
// little beside decoding.
inline constexpr double kScoreMpp = 2;

struct TileQuality {
  float blur = 0;   // 1 = no detail at all; from the variance of the Laplacian against contrast
  float pen = 0;    // share of pixels in pen colours (red, green, blue, black ink)
  float white = 0;  // share of glass
  float black = 0;  // share of scanner black
  float fold = 0;   // share of tissue folds (dark and saturated)
};

inline constexpr std::array<const char*, 5> kQualityNames = {"blur", "pen", "white", "black",
                                                             "fold"};
float QualityAt(const TileQuality& quality, int name);  // by index into kQualityNames

// rgb: the tile at about kScoreMpp, at least 8 x 8 px. mpp: its um/px.
TileQuality ScoreTile(const core::Image& rgb, double mpp);

// Largest score a tile may have; 1 keeps everything.
struct QualityLimits {
  double blur = 1, pen = 1, white = 1, black = 1, fold = 1;

  void Bind(core::OptionSet& set);  // keys reject.*
  bool Any() const;                 // something could be rejected
  // Index into kQualityNames of the first limit passed, -1 for none.
  int Exceeded(const TileQuality& quality) const;
};

}  // namespace eosin::tiling
