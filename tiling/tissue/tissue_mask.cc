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
  const size_t pitch = static_cast<size_t>(mask_.width) + 1;
  integral_.assign(pitch * (static_cast<size_t>(mask_.height) + 1), 0);
  for (int y = 0; y < mask_.height; ++y) {
    int64_t row = 0;
    for (int x = 0; x < mask_.width; ++x) {
      row += mask_.row(y)[x] != 0;
      const size_t at = (static_cast<size_t>(y) + 1) * pitch + static_cast<size_t>(x) + 1;
      integral_[at] = integral_[at - pitch] + row;
    }
  }
  total_ = integral_.back();
}

double TissueMask::Integral(double x, double y) const {
  x = std::clamp(x, 0.0, static_cast<double>(mask_.width));
  y = std::clamp(y, 0.0, static_cast<double>(mask_.height));
  const int x0 = std::min(static_cast<int>(x), mask_.width - 1);
  const int y0 = std::min(static_cast<int>(y), mask_.height - 1);
  const double fx = x - x0, fy = y - y0;
  const size_t pitch = static_cast<size_t>(mask_.width) + 1;
  const int64_t* corner = &integral_[static_cast<size_t>(y0) * pitch + static_cast<size_t>(x0)];
  const auto value = [&](size_t i) { return static_cast<double>(corner[i]); };
  return (1 - fy) * ((1 - fx) * value(0) + fx * value(1)) +
         fy * ((1 - fx) * value(pitch) + fx * value(pitch + 1));
}

double TissueMask::Share(double x, double y, double width, double height) const {
  const double x0 = x / scale_x_, x1 = (x + width) / scale_x_;
  const double y0 = y / scale_y_, y1 = (y + height) / scale_y_;
  const double area = (x1 - x0) * (y1 - y0);
  if (area <= 0 || integral_.empty()) return 0;
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
