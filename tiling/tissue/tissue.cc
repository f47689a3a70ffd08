// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/tissue.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "core/base/error.h"
#include "core/image/codec.h"

namespace eosin::tiling {
namespace {

struct Split {
  double threshold = 0;
  double low_mean = 0, high_mean = 0, mean = 0;
};

using Histogram = std::array<double, 256>;

Histogram Count(const cv::Mat& grey) {
  Histogram histogram{};
  for (int y = 0; y < grey.rows; ++y) {
    const uint8_t* row = grey.ptr(y);
    for (int x = 0; x < grey.cols; ++x) ++histogram[row[x]];
  }
  return histogram;
}

// Otsu's threshold of the values up to `last`, and the two class means.
Split Otsu(const Histogram& histogram, int last) {
  double total = 0, sum = 0;
  for (int v = 0; v <= last; ++v) {
    total += histogram[static_cast<size_t>(v)];
    sum += v * histogram[static_cast<size_t>(v)];
  }
  Split best;
  best.mean = best.low_mean = best.high_mean = total > 0 ? sum / total : 0;
  double best_variance = 0, below = 0, below_sum = 0;
  for (int v = 0; v < last; ++v) {
    below += histogram[static_cast<size_t>(v)];
    below_sum += v * histogram[static_cast<size_t>(v)];
    if (below == 0 || below == total) continue;
    const double low = below_sum / below, high = (sum - below_sum) / (total - below);
    const double variance = below * (total - below) * (high - low) * (high - low);
    if (variance > best_variance) {
      best_variance = variance;
      best.threshold = v;
      best.low_mean = low;
      best.high_mean = high;
    }
  }
  return best;
}

// Clears regions of `value` smaller than `area` pixels.
void DropSmall(cv::Mat& mask, uint8_t value, double area) {
  cv::Mat labels, stats, centroids;
  const int count =
      cv::connectedComponentsWithStats(mask == value, labels, stats, centroids, value ? 8 : 4);
  for (int y = 0; y < mask.rows; ++y) {
    const int* label = labels.ptr<int>(y);
    uint8_t* row = mask.ptr(y);
    for (int x = 0; x < mask.cols; ++x) {
      if (label[x] > 0 && label[x] < count && stats.at<int>(label[x], cv::CC_STAT_AREA) < area) {
        row[x] = value ? 0 : 255;
      }
    }
  }
}

}  // namespace

core::Image SegmentTissue(const core::Image& overview, double overview_mpp,
                          const TissueSettings& settings) {
  const cv::Mat rgb(overview.height, overview.width, CV_8UC3,
                    const_cast<uint8_t*>(overview.pixels.data()));
  cv::Mat hsv, saturation;
  cv::cvtColor(rgb, hsv, cv::COLOR_RGB2HSV);
  cv::extractChannel(hsv, saturation, 1);
  // Near black, saturation is noise; near white it is small by itself.
  cv::Mat value;
  cv::extractChannel(hsv, value, 2);
  saturation.setTo(0, value < settings.dark);
  if (std::min(saturation.rows, saturation.cols) >= settings.median) {
    cv::medianBlur(saturation, saturation, settings.median);
  }

  const Histogram histogram = Count(saturation);
  const auto separated = [&](const Split& split) {
    return split.high_mean - split.low_mean >= settings.min_separation;
  };
  Split split = Otsu(histogram, 255);
  double threshold = 0;
  if (separated(split)) {
    // Strong stain draws the threshold up; what faint tissue lies below it shows in a second pass.
    const Split below = Otsu(histogram, static_cast<int>(split.threshold));
    if (separated(below)) split = below;
    threshold = std::clamp(split.threshold, settings.min_saturation, settings.max_threshold);
  } else {
    // One class: all of it tissue when it is coloured, else none.
    threshold = split.mean > 2 * settings.min_saturation ? -1 : 255;
  }
  cv::Mat mask = saturation > threshold;

  const double pixel_um2 = overview_mpp * overview_mpp;
  const int kernel = 2 * static_cast<int>(settings.close_um / overview_mpp / 2) + 1;
  if (kernel > 1) {
    const cv::Mat disc = cv::getStructuringElement(cv::MORPH_ELLIPSE, {kernel, kernel});
    cv::morphologyEx(mask, mask, cv::MORPH_CLOSE, disc);
  }
  DropSmall(mask, 255, settings.min_tissue_um2 / pixel_um2);
  DropSmall(mask, 0, settings.min_hole_um2 / pixel_um2);

  core::Image out(overview.width, overview.height, 1);
  for (int y = 0; y < out.height; ++y) std::copy_n(mask.ptr(y), out.width, out.row(y));
  return out;
}

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
