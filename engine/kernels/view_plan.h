// SPDX-License-Identifier: Apache-2.0
// One view record worked out for a picture of known size: what the passes (view_pass.h) read. The
// CUDA executor makes plans on the device, so only records travel; tests make them on the host by
// the same functions. C++17, host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/stain/hed.h"
#include "engine/augment/blur.h"
#include "engine/augment/pixel_ops.h"
#include "engine/augment/view_params.h"

namespace eosin::engine::kernel {

struct ViewPlan {
  const uint8_t* source;  // first byte of the picture, RGB
  int source_width;       // its stride is 3 * source_width bytes
  int width, height;      // of the view before rot90
  int across_taps, down_taps;

  int clamp;                      // after a filter that overshoots
  int stain;                      // StainMap
  core::StainAffine stains;       // kStainDensity
  pixel::ChannelAffine channels;  // kStainLab, kStainHsv
  int op_count;                   // colour operations, at most one of each
  int ops[4];
  int contrast_at;  // place in ops, -1: none
  float factor[4];  // by JitterOp; hue in turns
  int gray;
  float solarize;   // level; > 255: off
  int blur_radius;  // 0: none
  float blur[kMaxBlurRadius + 1];
  int hflip, vflip, rot90;
};

// One axis of the crop, resampled as core::ComputeTaps does: in double, since a few hundred outputs
// an axis cost nothing beside the pixels.
struct Axis {
  double begin, scale;  // source pixels; source pixels an output
  double stretch;       // of the filter: scale, at least 1
  double support;       // half width of the filter, source pixels
  int first, last;      // source pixels that taps may touch
  int outputs, taps;
  bool cubic;
};

EOSIN_HOST_DEVICE inline Axis MakeAxis(int input, double begin, double length, int outputs,
                                       bool cubic) {
  Axis axis;
  axis.begin = begin;
  axis.outputs = outputs;
  axis.cubic = cubic;
  axis.first = static_cast<int>(begin) < input - 1 ? static_cast<int>(begin) : input - 1;
  const int end = static_cast<int>(::ceil(begin + length));
  axis.last = end < axis.first + 1 ? axis.first + 1 : (end > input ? input : end);
  axis.scale = length / outputs;
  axis.stretch = axis.scale > 1.0 ? axis.scale : 1.0;
  axis.support = (cubic ? 2.0 : 1.0) * axis.stretch;
  const int widest = static_cast<int>(::ceil(2.0 * axis.support)) + 1;
  axis.taps = widest < axis.last - axis.first ? widest : axis.last - axis.first;
  return axis;
}

EOSIN_HOST_DEVICE inline double FilterWeight(const Axis& axis, double distance) {
  const double x = ::fabs(distance) / axis.stretch;
  if (!axis.cubic) return x < 1.0 ? 1.0 - x : 0.0;
  constexpr double a = -0.5;  // Keys' cubic, as PIL and torchvision with antialias
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// Taps of output i: weights[k * stride], k < axis.taps. Returns the first source pixel.
EOSIN_HOST_DEVICE inline int MakeTaps(const Axis& axis, int i, int stride, float* weights) {
  const double centre = axis.begin + (i + 0.5) * axis.scale;
  int start = static_cast<int>(::floor(centre - axis.support + 0.5));
  if (start < axis.first) start = axis.first;
  if (start > axis.last - axis.taps) start = axis.last - axis.taps;
  double sum = 0;
  for (int k = 0; k < axis.taps; ++k) sum += FilterWeight(axis, start + k + 0.5 - centre);
  for (int k = 0; k < axis.taps; ++k) {
    weights[k * stride] = static_cast<float>(FilterWeight(axis, start + k + 0.5 - centre) / sum);
  }
  return start;
}

struct PictureSize {
  int width, height;
};

// The crop of a record, {across, down}. Views turned by a quarter swap their sides.
EOSIN_HOST_DEVICE inline void MakeAxes(const ViewParams& params, PictureSize picture,
                                       PictureSize out, Axis* across, Axis* down) {
  const bool turned = params.rot90 & 1;
  const int width = turned ? out.height : out.width, height = turned ? out.width : out.height;
  const bool whole = !(params.crop_w > 0 && params.crop_h > 0);
  *across = MakeAxis(picture.width, whole ? 0.0 : params.crop_x,
                     whole ? picture.width : params.crop_w, width, params.bicubic != 0);
  *down = MakeAxis(picture.height, whole ? 0.0 : params.crop_y,
                   whole ? picture.height : params.crop_h, height, params.bicubic != 0);
}

EOSIN_HOST_DEVICE inline void PlanView(const ViewParams& params, const uint8_t* source,
                                       PictureSize picture, const Axis& across, const Axis& down,
                                       ViewPlan* plan) {
  plan->source = source;
  plan->source_width = picture.width;
  plan->width = across.outputs;
  plan->height = down.outputs;
  plan->across_taps = across.taps;
  plan->down_taps = down.taps;
  plan->stain = params.stain;
  plan->clamp = params.bicubic;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) plan->stains.a[i][j] = params.stain_matrix[3 * i + j];
    plan->stains.b[i] = params.stain_offset[i];
    plan->channels.scale[i] = params.stain_matrix[i];
    plan->channels.offset[i] = params.stain_offset[i];
  }
  plan->op_count = 0;
  plan->contrast_at = -1;
  for (int i = 0; i < 4 && params.jitter; ++i) {
    const int op = params.jitter_order[i];
    if (op > kHue) continue;
    if (op == kContrast) plan->contrast_at = plan->op_count;
    plan->ops[plan->op_count++] = op;
  }
  plan->factor[kBrightness] = params.brightness;
  plan->factor[kContrast] = params.contrast;
  plan->factor[kSaturation] = params.saturation;
  plan->factor[kHue] = params.hue;
  plan->gray = params.gray;
  plan->solarize = params.solarize * 255.0f;
  plan->hflip = params.hflip;
  plan->vflip = params.vflip;
  plan->rot90 = params.rot90;
  const double sigma = params.blur_sigma;
  plan->blur_radius = BlurRadius(sigma, plan->width, plan->height);
  double sum = 0;
  for (int k = 0; k <= plan->blur_radius && plan->blur_radius > 0; ++k) {
    const double weight = ::exp(-0.5 * k * k / (sigma * sigma));
    plan->blur[k] = static_cast<float>(weight);
    sum += k == 0 ? weight : 2 * weight;
  }
  const float scale = static_cast<float>(1.0 / sum);
  for (int k = 0; k <= plan->blur_radius && plan->blur_radius > 0; ++k) plan->blur[k] *= scale;
}

}  // namespace eosin::engine::kernel
