// SPDX-License-Identifier: Apache-2.0
// Stain statistics of one tile, stored by the tiler for stain-aware training (RandStainNA, arXiv
// 2206.12694; Macenko, ISBI 2009). Optical density is natural, OD = -ln((I + 1) / 256).
//
// CIELAB: sRGB to D65, CIE units (L 0-100), scikit-image's rgb2lab; means and population standard
// deviations over all pixels. OpenCV's 8-bit LAB, which RandStainNA's files hold, is
// (L * 255 / 100, a + 128, b + 128): deviations scale by 2.55 for L, by 1 for a and b.
//
// Macenko, beta 0.15, alpha 1: pixels with every OD above beta; the plane of the two largest
// eigenvectors of their covariance; the 1st and 99th percentile of the angle within it, as unit
// vectors; H is the one with the larger red component. Angles are taken about the mean direction,
// so they cannot wrap around. Concentrations of all pixels by least squares, and their 99th
// percentiles. Percentiles come from histograms (linear between ranks, as numpy's): angles to about
// 0.001 rad, concentrations to 0.004.
#pragma once

#include <array>
#include <cstddef>

#include "core/image/image.h"

namespace eosin::core {

// Columns of a store's `stain` dataset, in order.
inline constexpr std::array<const char*, 14> kStainColumns = {
    "lab_mean_l", "lab_mean_a", "lab_mean_b",
    "lab_std_l",  "lab_std_a",  "lab_std_b",  // CIELAB, D65
    "h_r",        "h_g",        "h_b",
    "e_r",        "e_g",        "e_b",  // Macenko unit stain vectors in OD
    "h_p99",      "e_p99"};             // 99th percentiles of the concentrations
using StainRow = std::array<float, kStainColumns.size()>;

// rgb: the tile, shrunk or not. Where too little stain is there to fit (fewer than 64 pixels with
// OD > 0.15 in every channel, or one-dimensional colours) the Macenko columns are NaN; all are
// without a pixel. Never throws.
StainRow MeasureStain(const Image& rgb);

}  // namespace eosin::core
