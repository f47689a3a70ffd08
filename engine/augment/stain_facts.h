// SPDX-License-Identifier: Apache-2.0
// What stain transforms need to know about one image, measured at most once for all its views:
// taken from the tile store where the tiler left it, else from the pixels. Of one thread.
#pragma once

#include <array>
#include <optional>

#include "core/image/image.h"
#include "core/stain/color_stats.h"
#include "core/stain/tile_stain.h"

namespace eosin::engine {

class StainFacts {
 public:
  // image must outlive this. stored: the store's row of this tile (copied), or null.
  StainFacts(const core::Image& image, const core::StainRow* stored);
  // Of all pixels of the image. LAB comes from the stored row where there is one.
  const core::ColorStats& colors(core::StainSpace space);
  // H and E (Macenko); columns are NaN where the tile holds too little stain.
  const core::StainRow& row();

 private:
  const core::Image& image_;
  std::optional<core::StainRow> row_;
  std::array<std::optional<core::ColorStats>, core::kStainSpaces> colors_;
};

}  // namespace eosin::engine
