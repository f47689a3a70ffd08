// SPDX-License-Identifier: Apache-2.0
// Scores of one tile, each 0 (none) to 1 (all of it): what users reject tiles by.
//
//   blur   s^2 / (s^2 + 4 um^2), s the sigma in um of the Gaussian that a sharp tile would have to
//          be blurred by: 0.5 at 2 um, 0.8 at 4 um. The variance of the Laplacian depends on how
//          much there is to see; divided by that of the gradient it depends on sharpness alone, so
//          scores compare between slides and stains. With L and G the mean squares of the Laplacian
//          (4 neighbours) and of the gradient of (R + 2 G + B) / 4, in grey levels:
//          v = (G + 4) / (L - 10), 10 being what noise leaves of L, and G + 4 what keeps glass from
//          looking sharp; excess = (mpp / 2)^2 max(0, v - 1/3); blur = excess / (excess + 0.8).
//          Nothing to see at all (L <= 10) is 1
//   pen    share of the area in blocks of 4 x 4 px at least half of which has ink colours (pen.h)
//   white  share of pixels that are glass: optical density OD = -ln((I + 1) / 256) <= 0.15 in every
//          channel (I >= 220), or <= 0.3 with channels within 0.04 of each other
//   black  share of pixels with no channel above 12: where the scanner saw nothing
//   fold   share of tissue that is about twice as dense as the tile's other tissue and of the same
//          hue (fold.h)
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
  float blur = 0, pen = 0, white = 0, black = 0, fold = 0;
};

inline constexpr std::array<const char*, 5> kQualityNames = {"blur", "pen", "white", "black",
                                                             "fold"};
float QualityAt(const TileQuality& quality, int name);  // by index into kQualityNames

// rgb: the tile at about kScoreMpp; smaller than 8 x 8 px it says little. mpp: its um/px. The same
// on every machine. An empty image scores 0.
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
