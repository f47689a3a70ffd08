// SPDX-License-Identifier: Apache-2.0
// The parameters of one augmented view: a plain record, drawn by ViewSampler (view_sampler.h) or
// DrawView (recipe.h), executed by ApplyView (apply.h). Everything random about a view is in here,
// so the same record gives the same picture on any executor. C++17, host and device; fixed layout,
// to be copied as bytes.
//
// Order of execution: crop and resize, hflip, vflip, rot90; stain map; colour jitter in
// `jitter_order`; grey; blur; solarise. Grey levels below are on the 0..255 scale.
#pragma once

#include <cstdint>
#include <type_traits>

namespace eosin::engine {

constexpr uint16_t kViewParamsVersion = 2;

// Entries of ViewParams::jitter_order.
enum JitterOp : uint8_t { kBrightness = 0, kContrast = 1, kSaturation = 2, kHue = 3 };

// What ViewParams::stain_matrix and stain_offset map.
enum StainMap : uint8_t {
  kStainOff = 0,
  kStainDensity = 1,  // natural optical density (core/stain/hed.h): od' = od * M + offset
  kStainLab = 2,      // CIELAB, D65, L 0..100: channel c times M[c] plus offset[c]
  kStainHsv = 3       // hue, saturation, value in 0..1, hue wraps: likewise
};

// Which model drew the stain map: what stain_draw means. Executors do not look at it.
enum StainModel : uint8_t {
  kModelNone = 0,
  kModelHedResidual = 1,  // factors of H, E, residual; their offsets (natural OD)
  kModelHedDab = 2,       // factors of H, E, DAB; their offsets (natural OD)
  kModelMacenko = 3,      // factor of H, of E; offset of H, of E; turn of H, of E in degrees
  kModelReinhardLab = 4,  // target means; target deviations, in CIELAB
  kModelReinhardHsv = 5,  // the same in HSV, 0..1
  kModelReinhardHed = 6   // the same in HED, natural OD
};

struct ViewParams {
  uint16_t version = kViewParamsVersion;
  uint8_t hflip = 0;   // 1: mirror left-right
  uint8_t vflip = 0;   // 1: mirror top-bottom
  uint8_t rot90 = 0;   // quarter turns counter-clockwise after the flips, 0..3
  uint8_t jitter = 0;  // 1: the four colour operations run, in jitter_order
  uint8_t gray = 0;    // 1: all channels become the luma .2989 R + .587 G + .114 B
  uint8_t stain = kStainOff;
  uint8_t jitter_order[4] = {kBrightness, kContrast, kSaturation, kHue};
  uint8_t bicubic = 0;  // crop resize: 0 bilinear, 1 bicubic (a = -1/2), both anti-aliased
  uint8_t stain_model = kModelNone;
  uint8_t unused[2] = {0, 0};
  // Crop box in source pixels: left, top, width, height. Width or height 0: the whole source.
  float crop_x = 0, crop_y = 0, crop_w = 0, crop_h = 0;
  float brightness = 1, contrast = 1, saturation = 1;  // factors >= 0
  float hue = 0;                                       // turns, -0.5..0.5
  float blur_sigma = 0;                                // output pixels; 0: no blur
  float solarize = 2;                                  // levels >= threshold * 255 invert; > 1: off
  // Row i, column j: from channel i to channel j, as core::StainAffine. LAB and HSV use the first
  // three as scales.
  float stain_matrix[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  float stain_offset[3] = {0, 0, 0};
  float stain_draw[6] = {0, 0, 0, 0, 0, 0};  // what was drawn, for people only (StainModel)
};

static_assert(sizeof(ViewParams) == 128, "layout is versioned");
static_assert(std::is_trivially_copyable<ViewParams>::value, "copied as bytes");
static_assert(std::is_standard_layout<ViewParams>::value, "copied as bytes");

}  // namespace eosin::engine
