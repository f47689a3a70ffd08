// SPDX-License-Identifier: Apache-2.0
// Otsu's threshold (IEEE Trans. SMC 9:62, 1979) and the plain method built on it.
#pragma once

#include <array>
#include <opencv2/core.hpp>

namespace eosin::tiling {

using Histogram = std::array<double, 256>;

// Values of an 8-bit image; where `only` is given, of its nonzero pixels.
Histogram Count(const cv::Mat& grey, const cv::Mat& only = {});

struct OtsuSplit {
  int threshold = 0;  // the upper class is > threshold
  double low_mean = 0, high_mean = 0;
  double mean = 0;  // of both
  double low_share = 1;
  double separability = 0;  // between-class variance / variance, 0-1
};

// The split of the values 0..last that has the largest variance between its classes.
OtsuSplit Otsu(const Histogram& histogram, int last = 255);

// rgb: CV_8UC3. HSV saturation above Otsu's threshold, nothing else: the yardstick.
cv::Mat SegmentByOtsu(const cv::Mat& rgb, const cv::Mat& known);

}  // namespace eosin::tiling
