// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/summary_sinks.h"

#include <algorithm>

#include "core/image/resample.h"

namespace eosin::segment {

namespace {

// Raster pixels below one of the picture's, at least one.
Span Below(int64_t at, int64_t picture, int64_t raster) {
  const int64_t begin = at * raster / picture;
  return {begin, std::max(begin + 1, (at + 1) * raster / picture)};
}

}  // namespace

void ClassCounts::Take(const Band& band) {
  // Four tables, because the same label again and again would wait for its own counter.
  std::array<std::array<int64_t, 256>, 4> tables{};
  for (size_t i = 0; i < band.labels.size(); ++i) ++tables[i % 4][band.labels[i]];
  for (size_t label = 0; label < counts_.size(); ++label) {
    for (const auto& table : tables) counts_[label] += table[label];
  }
}

Overlay::Overlay(const core::Image& overview, int64_t width, int64_t height,
                 const std::vector<ClassStyle>& classes)
    : picture_(core::Thumbnail(overview, kOverlaySide)),
      height_(height),
      classes_(classes),
      counts_(static_cast<size_t>(picture_.width)) {
  for (int x = 0; x < picture_.width; ++x) columns_.push_back(Below(x, picture_.width, width));
}

void Overlay::Take(const Band& band) {
  for (int64_t y = 0; y < band.rows; ++y, ++y_) {
    const uint8_t* labels = band.labels.data() + y * band.width;
    while (row_ < picture_.height) {
      const Span rows = Below(row_, picture_.height, height_);
      if (rows.begin > y_) break;
      for (size_t i = 0; i < columns_.size(); ++i) {
        for (int64_t x = columns_[i].begin; x < columns_[i].end; ++x) ++counts_[i][labels[x]];
      }
      if (rows.end > y_ + 1) break;
      FinishRow();
    }
  }
}

void Overlay::FinishRow() {
  for (int x = 0; x < picture_.width; ++x) {
    auto& counts = counts_[static_cast<size_t>(x)];
    std::array<int64_t, 3> sum{};
    int64_t tinted = 0, all = counts[kNotPredicted];
    for (size_t c = 0; c < classes_.size(); ++c) {
      all += counts[c];
      if (!classes_[c].outlined) continue;
      tinted += counts[c];
      for (size_t k = 0; k < 3; ++k) sum[k] += int64_t{counts[c]} * classes_[c].colour[k];
    }
    if (tinted > 0) {
      uint8_t* pixel = picture_.at(x, row_);
      for (size_t k = 0; k < 3; ++k) {
        // Half of the pixel's colour gives way, by the share of what is tinted.
        const int64_t mix = int64_t{pixel[k]} * (2 * all - tinted) + sum[k];
        pixel[k] = static_cast<uint8_t>((mix + all) / (2 * all));
      }
    }
    counts = {};
  }
  ++row_;
}

}  // namespace eosin::segment
