// SPDX-License-Identifier: Apache-2.0
// Chooses where a made slide is annotated. Internal to tiling/synth.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/philox.h"

namespace eosin::tiling {

// Counts of level-0 pixels in cells of kCell x kCell, row-major.
struct ContentMap {
  static constexpr int kCell = 16;
  int64_t columns = 0, rows = 0;
  std::vector<uint16_t> tissue, gland;
};

struct RegionPlace {
  int64_t x = 0, y = 0;  // level-0 px
};

// `count` squares of `size` px that do not overlap, each in tissue (>= 90 % of it, without pen)
// with 10 to 80 % gland, drawn at random among all such places. Where fewer exist, places with >=
// 60 % tissue and 3 to 95 % gland fill up. May return fewer than `count`.
std::vector<RegionPlace> ChooseRegions(const ContentMap& map, int64_t size, int64_t count,
                                       core::PhiloxStream stream);

}  // namespace eosin::tiling
