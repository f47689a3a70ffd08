// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/otsu.h"

#include <cstdint>
#include <opencv2/imgproc.hpp>

namespace eosin::tiling {

Histogram Count(const cv::Mat& grey, const cv::Mat& only) {
  // Two tables: equal neighbours, of which overviews are full, need not wait for each other. The
  // last entry takes what is left out.
  std::array<std::array<uint32_t, 257>, 2> counts{};
  for (int y = 0; y < grey.rows; ++y) {
    const uint8_t* row = grey.ptr(y);
    const uint8_t* take = only.empty() ? nullptr : only.ptr(y);
    for (int x = 0; x < grey.cols; ++x) {
      ++counts[x & 1][take && !take[x] ? 256 : row[x]];
    }
  }
  Histogram histogram{};
  for (size_t v = 0; v < 256; ++v) {
    histogram[v] = static_cast<double>(counts[0][v]) + static_cast<double>(counts[1][v]);
  }
  return histogram;
}

OtsuSplit Otsu(const Histogram& histogram, int last) {
  double total = 0, sum = 0, squares = 0;
  for (int v = 0; v <= last; ++v) {
    const double count = histogram[static_cast<size_t>(v)];
    total += count;
    sum += v * count;
    squares += static_cast<double>(v) * v * count;
  }
  OtsuSplit best;
  if (total == 0) return best;
  best.mean = best.low_mean = best.high_mean = sum / total;
  double most = 0, below = 0, below_sum = 0;
  for (int v = 0; v < last; ++v) {
    below += histogram[static_cast<size_t>(v)];
    below_sum += v * histogram[static_cast<size_t>(v)];
    if (below == 0 || below == total) continue;
    const double low = below_sum / below, high = (sum - below_sum) / (total - below);
    const double between = below / total * (1 - below / total) * (high - low) * (high - low);
    if (between > most) {
      most = between;
      best.threshold = v;
      best.low_mean = low;
      best.high_mean = high;
      best.low_share = below / total;
    }
  }
  const double variance = squares / total - best.mean * best.mean;
  best.separability = variance > 0 ? most / variance : 0;
  return best;
}

cv::Mat SegmentByOtsu(const cv::Mat& rgb, const cv::Mat& known) {
  cv::Mat hsv, saturation;
  cv::cvtColor(rgb, hsv, cv::COLOR_RGB2HSV);
  cv::extractChannel(hsv, saturation, 1);
  return saturation > Otsu(Count(saturation, known)).threshold;
}

}  // namespace eosin::tiling
