// SPDX-License-Identifier: Apache-2.0
#include "engine/augment/stain_facts.h"

#include <cmath>

namespace eosin::engine {

StainFacts::StainFacts(const core::Image& image, const core::StainRow* stored) : image_(image) {
  if (stored != nullptr) row_ = *stored;
}

const core::ColorStats& StainFacts::colors(core::StainSpace space) {
  std::optional<core::ColorStats>& known = colors_[static_cast<size_t>(space)];
  if (known) return *known;
  if (space == core::StainSpace::kLab && row_ && std::isfinite((*row_)[0])) {
    core::ColorStats stats;
    for (size_t c = 0; c < 3; ++c) stats.mean[c] = (*row_)[c], stats.std[c] = (*row_)[3 + c];
    return known.emplace(stats);
  }
  return known.emplace(core::MeasureColors(image_, space));
}

const core::StainRow& StainFacts::row() {
  if (!row_) row_ = core::MeasureStain(image_);
  return *row_;
}

}  // namespace eosin::engine
