// SPDX-License-Identifier: Apache-2.0
// A strip under a picture that says what its colours mean.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/image/image.h"

namespace eosin::tiling {

struct LegendEntry {
  std::string text;
  std::array<uint8_t, 3> colour{};  // RGB
  int64_t count = 0;                // entries without any are left out
};

// The picture with as many lines of the legend below as its width needs; as it is without entries.
core::Image WithLegend(const core::Image& picture, const std::vector<LegendEntry>& entries);

}  // namespace eosin::tiling
