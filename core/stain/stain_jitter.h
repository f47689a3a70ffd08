// SPDX-License-Identifier: Apache-2.0
// Stain transforms as maps that a pixel loop executes: affine in optical density (hed.h) for HED
// jitter, Macenko perturbation and RandStainNA in HED space; scale and offset per channel for
// RandStainNA in LAB and HSV.
#pragma once

#include "core/stain/color_stats.h"
#include "core/stain/hed.h"

namespace eosin::core {

// Macenko perturbation after tiatoolbox's StainAugmentor: concentrations c = OD * pinv(stains) of H
// and E become alpha * c + beta and are mixed with the stains turned by `angle` (radians, positive:
// from H towards E) within their common OD plane. What lies outside of that plane (the residual) is
// kept unchanged.
// stains: rows H and E, unit OD vectors, R G B; not parallel.
StainAffine MacenkoJitterAffine(const float stains[2][3], const float alpha[2], const float beta[2],
                                const float angle[2]);

// Reinhard's transfer of each channel: x' = x * scale + offset moves `from` to `to`. A channel
// without spread in `from` (std below 1e-6) is only shifted.
struct ChannelMap {
  float scale[3], offset[3];
};
ChannelMap ReinhardMap(const ColorStats& from, const ColorStats& to);
// The same in HED space, as an affine map of optical density.
StainAffine ReinhardHedAffine(const ColorStats& from, const ColorStats& to);

}  // namespace eosin::core
