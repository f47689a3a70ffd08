// SPDX-License-Identifier: Apache-2.0
// The parameters of one augmented view: a plain record, drawn by DrawView (recipe.h), executed by
// ApplyView (apply.h). Everything random about a view is in here, so the same record gives the same
// picture on any executor. C++17, host and device; fixed layout, to be copied as bytes.
//
// Order of execution: crop and resize, hflip, vflip, rot90; HED stain jitter; colour jitter in
// `jitter_order`; grey; blur; solarise. Grey levels below are on the 0..255 scale.
#pragma once

#include <cstdint>
#include <type_traits>

namespace eosin::engine {

constexpr uint16_t kViewParamsVersion = 1;

// Entries of ViewParams::jitter_order.
enum JitterOp : uint8_t { kBrightness = 0, kContrast = 1, kSaturation = 2, kHue = 3 };

// Stain basis of the HED jitter: Ruifrok's three stains, or H and E with their cross product.
enum HedBasis : uint8_t { kHedOff = 0, kHedDab = 1, kHedResidual = 2 };

struct ViewParams {
  uint16_t version = kViewParamsVersion;
  uint8_t hflip = 0;   // 1: mirror left-right
  uint8_t vflip = 0;   // 1: mirror top-bottom
  uint8_t rot90 = 0;   // quarter turns counter-clockwise after the flips, 0..3
  uint8_t jitter = 0;  // 1: the four colour operations run, in jitter_order
  uint8_t gray = 0;    // 1: all channels become the luma .2989 R + .587 G + .114 B
  uint8_t hed = kHedOff;
  uint8_t jitter_order[4] = {kBrightness, kContrast, kSaturation, kHue};
  // Crop box in source pixels: left, top, width, height. Width or height 0: the whole source.
  float crop_x = 0, crop_y = 0, crop_w = 0, crop_h = 0;
  float brightness = 1, contrast = 1, saturation = 1;  // factors >= 0
  float hue = 0;                                       // turns, -0.5..0.5
  float blur_sigma = 0;                                // output pixels; 0: no blur
  float solarize = 2;                                  // levels >= threshold * 255 invert; > 1: off
  // Stain s becomes alpha * s + beta, in natural optical density; the third is DAB or residual.
  float hed_alpha[3] = {1, 1, 1};
  float hed_beta[3] = {0, 0, 0};
};

static_assert(sizeof(ViewParams) == 76 && sizeof(ViewParams) <= 128, "layout is versioned");
static_assert(std::is_trivially_copyable<ViewParams>::value, "copied as bytes");
static_assert(std::is_standard_layout<ViewParams>::value, "copied as bytes");

}  // namespace eosin::engine
