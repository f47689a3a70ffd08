// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/image/codec.h"
#include "tiling/tissue/tissue.h"

namespace eosin::tiling {

TissueMask::TissueMask(core::Image mask, int64_t slide_width, int64_t slide_height)
    : mask_(std::move(mask)),
      scale_x_(static_cast<double>(slide_width) / mask_.width),
      scale_y_(static_cast<double>(slide_height) / mask_.height) {
  Integrate();
}

TissueMask::TissueMask(core::Image mask, double scale)
    : mask_(std::move(mask)), scale_x_(scale), scale_y_(scale) {
  Integrate();
}

void TissueMask::Integrate() {
  const size_t width = static_cast<size_t>(mask_.width), height = static_cast<size_t>(mask_.height);
  const size_t column_pitch = width / kStep + 1, row_pitch = width + 1;
  columns_.assign((height + 1) * column_pitch, 0);
  rows_.assign((height / kStep + 1) * row_pitch, 0);
  std::vector<uint32_t> above(row_pitch, 0);  // tissue above and left of each corner
  for (size_t y = 0; y < height; ++y) {
    const uint8_t* row = mask_.row(static_cast<int>(y));
    uint32_t left = 0;
    for (size_t x = 0; x < width; ++x) {
      left += row[x] != 0;
      above[x + 1] += left;
    }
    for (size_t c = 0; c < column_pitch; ++c)
      columns_[(y + 1) * column_pitch + c] = above[c * kStep];
    if ((y + 1) % kStep == 0) {
      std::copy(above.begin(), above.end(),
                rows_.begin() + static_cast<std::ptrdiff_t>((y + 1) / kStep * row_pitch));
    }
  }
  has_tissue_ = above.back() > 0;
}

int64_t TissueMask::Count(int x, int y) const {
  const int column = x / kStep, row = y / kStep;
  const size_t column_pitch = static_cast<size_t>(mask_.width / kStep) + 1;
  const uint32_t* above = &rows_[static_cast<size_t>(row) * (static_cast<size_t>(mask_.width) + 1)];
  int64_t count = columns_[static_cast<size_t>(y) * column_pitch + static_cast<size_t>(column)];
  count += above[x] - above[column * kStep];
  for (int v = row * kStep; v < y; ++v) {
    for (int u = column * kStep; u < x; ++u) count += mask_.row(v)[u] != 0;
  }
  return count;
}

double TissueMask::Integral(double x, double y) const {
  x = std::clamp(x, 0.0, static_cast<double>(mask_.width));
  y = std::clamp(y, 0.0, static_cast<double>(mask_.height));
  const int x0 = std::min(static_cast<int>(x), mask_.width - 1);
  const int y0 = std::min(static_cast<int>(y), mask_.height - 1);
  const double fx = x - x0, fy = y - y0;
  const auto value = [&](int u, int v) { return static_cast<double>(Count(x0 + u, y0 + v)); };
  return (1 - fy) * ((1 - fx) * value(0, 0) + fx * value(1, 0)) +
         fy * ((1 - fx) * value(0, 1) + fx * value(1, 1));
}

double TissueMask::Share(double x, double y, double width, double height) const {
  const double x0 = x / scale_x_, x1 = (x + width) / scale_x_;
  const double y0 = y / scale_y_, y1 = (y + height) / scale_y_;
  const double area = (x1 - x0) * (y1 - y0);
  if (area <= 0 || rows_.empty()) return 0;
  const double inside = Integral(x1, y1) - Integral(x0, y1) - Integral(x1, y0) + Integral(x0, y0);
  return std::clamp(inside / area, 0.0, 1.0);
}

TissueMask ReadTissueMask(const std::filesystem::path& path, int64_t slide_width,
                          int64_t slide_height) {
  core::Image mask = core::ReadMask(path);
  const double across = static_cast<double>(slide_width) / mask.width;
  const double down = static_cast<double>(slide_height) / mask.height;
  // A mask rounds its sides to whole pixels; beyond that a different shape is a different slide.
  const double slack = 0.02 + 1.0 / std::min(mask.width, mask.height);
  if (std::abs(across / down - 1) > slack) {
    throw core::DataError(
        fmt::format("mask {} is {} x {} px, another shape than the slide's {} x {}", path.string(),
                    mask.width, mask.height, slide_width, slide_height),
        "a mask covers the whole slide (level 0), at any size of the same shape");
  }
  return TissueMask(std::move(mask), slide_width, slide_height);
}

}  // namespace eosin::tiling
