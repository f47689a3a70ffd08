// SPDX-License-Identifier: Apache-2.0
// Which tiles lie near which: neighbouring tiles as positives of each other (NearbyPatchCL, Le et
// al., MMM 2024). Tiles of a slide are sorted by square cells as wide as the radius, so a query
// looks at three rows of three cells. 32 bytes a tile.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/data/image_source.h"

namespace eosin::engine {

class NeighbourIndex {
 public:
  // radius: tile strides, > 0. ConfigError when no image of the source has a place.
  NeighbourIndex(const ImageSource& source, double radius);

  // Other images of the same slide within the radius, ends included, sorted. Thread-safe.
  std::vector<int64_t> Near(int64_t index) const;
  // One of them, equally likely by `draw` (32 random bits); nothing for a tile that is alone.
  std::optional<int64_t> Pick(int64_t index, uint32_t draw) const;

 private:
  struct Entry {
    int64_t slide;
    int32_t cell_y, cell_x;
    int64_t index;
    float x, y;
  };
  template <typename Visit>
  void ForEachNear(int64_t index, Visit&& visit) const;

  double radius_;
  std::vector<Entry> entries_;     // sorted by slide, cell_y, cell_x, index
  std::vector<int64_t> position_;  // of an image in entries_; -1 without a place
};

}  // namespace eosin::engine
