// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/summary_sinks.h"

#include <algorithm>

#include "core/image/resample.h"

namespace eosin::segment {

void ClassCounts::Take(const Band& band) {
  // Four tables, because the same label again and again would wait for its own counter.
  std::array<std::array<int64_t, 256>, 4> tables{};
  size_t i = 0;
  for (; i + 4 <= band.labels.size(); i += 4) {
    for (size_t k = 0; k < 4; ++k) ++tables[k][band.labels[i + k]];
  }
  for (; i < band.labels.size(); ++i) ++tables[0][band.labels[i]];
  for (size_t label = 0; label < counts_.size(); ++label) {
    for (const auto& table : tables) counts_[label] += table[label];
  }
}

Overlay::Overlay(const core::Image& overview, int64_t width, int64_t height,
                 const std::vector<ClassStyle>& classes)
    : picture_(core::Thumbnail(overview, kOverlaySide)),
      width_(width),
      height_(height),
      classes_(classes),
      counts_(static_cast<size_t>(picture_.width)) {
  for (int64_t x = 0; x < width; ++x) {
    column_.push_back(static_cast<int32_t>(x * picture_.width / width));
  }
}

void Overlay::Take(const Band& band) {
  for (int64_t y = 0; y < band.rows; ++y, ++y_) {
    const auto row = static_cast<int>(y_ * picture_.height / height_);
    while (row_ < row) FinishRow();
    const uint8_t* labels = band.labels.data() + y * band.width;
    for (int64_t x = 0; x < width_; ++x) {
      ++counts_[static_cast<size_t>(column_[static_cast<size_t>(x)])][labels[x]];
    }
  }
  if (y_ == height_) {
    while (row_ < picture_.height) FinishRow();
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
