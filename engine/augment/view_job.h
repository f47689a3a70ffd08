// SPDX-License-Identifier: Apache-2.0
// One view, prepared: tables and constants worked out once, then RunView walks the rows. The caller
// owns all memory. C++17; always inlined into one function per instruction set (apply.cc).
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/stain/hed.h"
#include "engine/augment/blur.h"
#include "engine/augment/row_ops.h"

namespace eosin::engine {

struct AxisTaps {        // see core::ResampleTaps
  const int* start;      // (outputs)
  const float* weights;  // (count, outputs)
  int count;
};

struct ViewJob {
  const uint8_t* source;            // first pixel of the crop's rows: taps count from here
  int64_t source_stride;            // bytes
  int source_width, source_height;  // pixels that taps may touch
  AxisTaps across, down;
  int width, height;  // of the view before rot90

  bool clamp;                     // the filter overshoots (bicubic)
  uint8_t stain;                  // StainMap
  core::StainAffine stains;       // kStainDensity
  pixel::ChannelAffine channels;  // kStainLab, kStainHsv
  int op_count;                   // colour operations, at most one of each
  uint8_t ops[4];
  float factor[4];  // by JitterOp; hue in turns
  bool gray;
  int blur_radius;  // 0: none
  float blur_weights[kMaxBlurRadius + 1];
  float solarize;  // level; > 255: off
  int hflip, vflip, rot90;

  float* plane;      // 3 * width * height
  float* ring;       // down.count * 3 * width, or 3 * source_width: rows being filtered
  uint32_t* packed;  // source_width
  float* padded;     // 3 * (width + 2 * kMaxBlurRadius)
  uint8_t* bytes;    // 3 * width
  uint8_t* out;      // width * height * 3
};

namespace view {

using row::Planes;

EOSIN_ROW Planes PlaneRow(const ViewJob& job, int y) {
  const int64_t area = static_cast<int64_t>(job.width) * job.height;
  float* first = job.plane + static_cast<int64_t>(y) * job.width;
  return {first, first + area, first + 2 * area};
}

// Filters source rows on demand into a ring of the last down.count ones.
EOSIN_ROW void ResizeAcrossFirst(const ViewJob& job, int y, int* next, Planes out) {
  const int count = job.down.count, n = job.width;
  const int begin = job.down.start[y];
  for (int s = *next > begin ? *next : begin; s < begin + count; ++s) {
    float* slot = job.ring + static_cast<int64_t>(s % count) * 3 * n;
    row::PackRow(job.source + s * job.source_stride, job.packed, job.source_width);
    row::FilterPacked(job.packed, job.across.start, job.across.weights, job.across.count, n,
                      {slot, slot + n, slot + 2 * n});
    if (job.clamp) row::Clamp({slot, slot + n, slot + 2 * n}, n);
    *next = s + 1;
  }
  for (int k = 0; k < count; ++k) {
    const float* slot = job.ring + static_cast<int64_t>((begin + k) % count) * 3 * n;
    const float w = job.down.weights[static_cast<int64_t>(k) * job.height + y];
    if (k == 0) {
      row::Scale(slot, w, out.r, n), row::Scale(slot + n, w, out.g, n);
      row::Scale(slot + 2 * n, w, out.b, n);
    } else if (w != 0.0f) {
      row::Add(slot, w, out.r, n), row::Add(slot + n, w, out.g, n);
      row::Add(slot + 2 * n, w, out.b, n);
    }
  }
}

// For shrinking: sums whole source rows first, then filters the one row.
EOSIN_ROW void ResizeDownFirst(const ViewJob& job, int y, Planes out) {
  const int wide = 3 * job.source_width;
  for (int k = 0; k < job.down.count; ++k) {
    const float w = job.down.weights[static_cast<int64_t>(k) * job.height + y];
    const uint8_t* in = job.source + (job.down.start[y] + k) * job.source_stride;
    if (k == 0) {
      row::ScaleBytes(in, w, job.ring, wide);
    } else if (w != 0.0f) {
      row::AddBytes(in, w, job.ring, wide);
    }
  }
  row::FilterInterleaved(job.ring, job.across.start, job.across.weights, job.across.count,
                         job.width, out);
}

EOSIN_ROW void MapStain(const ViewJob& job, Planes row) {
  switch (job.stain) {
    case kStainDensity:
      row::MapStains(row, job.width, job.stains);
      break;
    case kStainLab:
      row::MapLab(row, job.width, job.channels);
      break;
    case kStainHsv:
      row::MapHsv(row, job.width, job.channels);
      break;
    default:
      break;
  }
}

EOSIN_ROW void ColourOp(const ViewJob& job, int op, Planes row, float mean) {
  const int n = job.width;
  switch (op) {
    case kBrightness:
      row::Brightness(row, n, job.factor[kBrightness]);
      break;
    case kContrast:
      row::Contrast(row, n, job.factor[kContrast], mean);
      break;
    case kSaturation:
      row::Saturation(row, n, job.factor[kSaturation]);
      break;
    default:
      row::Hue(row, n, job.factor[kHue]);
      break;
  }
}

EOSIN_ROW int Reflect(int i, int n) {
  if (i < 0) i = -i;
  return i >= n ? 2 * (n - 1) - i : i;
}

EOSIN_ROW void FinishRow(const ViewJob& job, int y, Planes row) {
  if (job.solarize <= 255.0f) row::Solarize(row, job.width, job.solarize);
  row::StoreRow(row, job.width,
                pixel::PlaceRow(y, job.width, job.height, job.hflip, job.vflip, job.rot90),
                job.bytes, job.out);
}

// Colour operations from `begin` on, grey, and either the blur along the row or the end.
EOSIN_ROW void SecondHalf(const ViewJob& job, int y, int begin, float mean) {
  const Planes row = PlaneRow(job, y);
  for (int i = begin; i < job.op_count; ++i) ColourOp(job, job.ops[i], row, mean);
  if (job.gray) row::Gray(row, job.width);
  if (job.blur_radius == 0) {
    FinishRow(job, y, row);
    return;
  }
  for (float* values : {row.r, row.g, row.b}) {
    row::BlurAlong(values, job.width, job.blur_weights, job.blur_radius, job.padded);
  }
}

EOSIN_ROW void BlurDown(const ViewJob& job) {
  const int n = job.width;
  const Planes sum = {job.padded, job.padded + n, job.padded + 2 * n};
  for (int y = 0; y < job.height; ++y) {
    const Planes centre = PlaneRow(job, y);
    row::Scale(centre.r, job.blur_weights[0], sum.r, n);
    row::Scale(centre.g, job.blur_weights[0], sum.g, n);
    row::Scale(centre.b, job.blur_weights[0], sum.b, n);
    for (int k = 1; k <= job.blur_radius; ++k) {
      const Planes a = PlaneRow(job, Reflect(y - k, job.height));
      const Planes b = PlaneRow(job, Reflect(y + k, job.height));
      row::AddPair(a.r, b.r, job.blur_weights[k], sum.r, n);
      row::AddPair(a.g, b.g, job.blur_weights[k], sum.g, n);
      row::AddPair(a.b, b.b, job.blur_weights[k], sum.b, n);
    }
    FinishRow(job, y, sum);
  }
}

}  // namespace view

// Two walks over the rows where contrast needs the mean of the whole view, one otherwise; a third
// for the blur down the columns.
EOSIN_ROW void RunView(const ViewJob& job) {
  int contrast_at = -1;
  for (int i = 0; i < job.op_count; ++i) {
    if (job.ops[i] == kContrast) contrast_at = i;
  }
  // A filter that overshoots goes across first and is clamped after each pass, as PIL's is; else
  // the cheaper order.
  const bool down_first = job.source_height > job.height && !job.clamp;
  int next = 0;
  double luma = 0;
  for (int y = 0; y < job.height; ++y) {
    const row::Planes row = view::PlaneRow(job, y);
    if (down_first) {
      view::ResizeDownFirst(job, y, row);
    } else {
      view::ResizeAcrossFirst(job, y, &next, row);
    }
    if (job.clamp) row::Clamp(row, job.width);
    view::MapStain(job, row);
    if (contrast_at >= 0) {
      for (int i = 0; i < contrast_at; ++i) view::ColourOp(job, job.ops[i], row, 0.0f);
      luma += row::LumaSum(row, job.width);
    } else {
      view::SecondHalf(job, y, 0, 0.0f);
    }
  }
  if (contrast_at >= 0) {
    const double pixels = static_cast<double>(job.width) * job.height;
    const float mean = static_cast<float>(luma / pixels);
    for (int y = 0; y < job.height; ++y) view::SecondHalf(job, y, contrast_at, mean);
  }
  if (job.blur_radius > 0) view::BlurDown(job);
}

}  // namespace eosin::engine
