// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/tissue_gate.h"

#include <algorithm>
#include <cmath>

namespace eosin::segment {
namespace {

// Raster pixels whose centres lie in [begin, end) of level 0.
Span Centres(double begin, double end, double downsample, int64_t size) {
  const auto first = [&](double at) {
    return std::clamp<int64_t>(std::llround(std::ceil(at / downsample - 0.5)), 0, size);
  };
  return {first(begin), first(end)};
}

}  // namespace

TissueGate::TissueGate(const tiling::TissueMask* tissue, const tiling::SlideGeometry& slide,
                       const PredictPlan& plan)
    : tissue_(tissue), downsample_(plan.downsample) {
  const auto [left, top, width, height] = slide.bounds;
  x_ = Centres(static_cast<double>(left), static_cast<double>(left + width), downsample_,
               plan.width);
  y_ = Centres(static_cast<double>(top), static_cast<double>(top + height), downsample_,
               plan.height);
  if (left + width >= slide.width) x_.end = plan.width;
  if (top + height >= slide.height) y_.end = plan.height;
  spans_ = {x_};
}

void TissueGate::FindSpans(int64_t mask_row) {
  mask_row_ = mask_row;
  spans_.clear();
  const core::Image& mask = tissue_->mask();
  const uint8_t* row = mask.row(static_cast<int>(mask_row));
  for (int begin = 0; begin < mask.width;) {
    int end = begin + 1;
    while (end < mask.width && (row[end] != 0) == (row[begin] != 0)) ++end;
    if (row[begin] != 0) {
      Span span =
          Centres(begin * tissue_->scale_x(), end * tissue_->scale_x(), downsample_, x_.end);
      span.begin = std::max(span.begin, x_.begin);
      if (end == mask.width) span.end = x_.end;
      if (span.begin < span.end) spans_.push_back(span);
    }
    begin = end;
  }
}

void TissueGate::Apply(Band* band) {
  const int64_t planes = static_cast<int64_t>(band->probabilities.size()) /
                         std::max<int64_t>(1, band->rows * band->width);
  const auto clear = [&](int64_t row, int64_t begin, int64_t end) {
    if (begin >= end) return;
    std::fill_n(band->labels.data() + row * band->width + begin, end - begin, kNotPredicted);
    for (int64_t c = 0; c < planes; ++c) {
      std::fill_n(band->probabilities.data() + (c * band->rows + row) * band->width + begin,
                  end - begin, uint8_t{0});
    }
  };
  for (int64_t row = 0; row < band->rows; ++row) {
    const int64_t y = band->y + row;
    if (y < y_.begin || y >= y_.end) {
      clear(row, 0, band->width);
      continue;
    }
    if (tissue_) {
      const auto mask_row = std::min<int64_t>(
          static_cast<int64_t>((static_cast<double>(y) + 0.5) * downsample_ / tissue_->scale_y()),
          tissue_->mask().height - 1);
      if (mask_row != mask_row_) FindSpans(mask_row);
    }
    int64_t done = 0;
    for (const Span& span : spans_) {
      clear(row, done, span.begin);
      done = span.end;
    }
    clear(row, done, band->width);
  }
}

}  // namespace eosin::segment
