// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/double_pass.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "tiling/tissue/otsu.h"

namespace eosin::tiling {

cv::Mat SegmentByDoublePass(const cv::Mat& rgb, const cv::Mat& known, double mpp,
                            const TissueSettings&) {
  constexpr int kMedian = 5;
  constexpr double kMinSaturation = 12, kMaxThreshold = 60, kMinSeparation = 14, kCloseUm = 40;
  cv::Mat hsv, saturation, value;
  cv::cvtColor(rgb, hsv, cv::COLOR_RGB2HSV);
  cv::extractChannel(hsv, saturation, 1);
  cv::extractChannel(hsv, value, 2);
  saturation.setTo(0, value < 40);
  if (std::min(saturation.rows, saturation.cols) >= kMedian) {
    cv::medianBlur(saturation, saturation, kMedian);
  }
  const Histogram histogram = Count(saturation, known);
  OtsuSplit split = Otsu(histogram);
  double threshold = split.mean > 2 * kMinSaturation ? -1 : 255;
  if (split.high_mean - split.low_mean >= kMinSeparation) {
    const OtsuSplit below = Otsu(histogram, split.threshold);
    if (below.high_mean - below.low_mean >= kMinSeparation) split = below;
    threshold = std::clamp<double>(split.threshold, kMinSaturation, kMaxThreshold);
  }
  cv::Mat mask = saturation > threshold;
  const int kernel = 2 * static_cast<int>(kCloseUm / mpp / 2) + 1;
  if (kernel > 1) {
    cv::morphologyEx(mask, mask, cv::MORPH_CLOSE,
                     cv::getStructuringElement(cv::MORPH_ELLIPSE, {kernel, kernel}));
  }
  return mask;
}

}  // namespace eosin::tiling
