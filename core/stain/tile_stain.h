// SPDX-License-Identifier: Apache-2.0
// Stain statistics of one tile, stored by the tiler for stain-aware training (RandStainNA, arXiv
// 2206.12694; Macenko, ISBI 2009). Optical density is natural, OD = -ln((I + 1) / 256).
#pragma once

#include <array>
#include <cstddef>

#include "core/image/image.h"

namespace eosin::core {

// Columns of a store's `stain` dataset, in order.
inline constexpr std::array<const char*, 14> kStainColumns = {
    "lab_mean_l", "lab_mean_a", "lab_mean_b", "lab_std_l", "lab_std_a", "lab_std_b",  // CIELAB, D65
    "h_r", "h_g", "h_b", "e_r", "e_g", "e_b",  // Macenko unit stain vectors in OD
    "h_p99", "e_p99"};                         // 99th percentiles of the concentrations
using StainRow = std::array<float, kStainColumns.size()>;

// rgb: the tile, shrunk or not. Where too little stain is there to fit (fewer than 64 pixels with
// OD > 0.15 in every channel, or one-dimensional colours) the Macenko columns are NaN. Never throws.
StainRow MeasureStain(const Image& rgb);

}  // namespace eosin::core
