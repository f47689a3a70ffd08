// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/components.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace eosin::tiling {
namespace {

void PutSmall(const cv::Mat& patches, int connectivity, double area, uint8_t value, cv::Mat* mask) {
  cv::Mat labels, stats, centroids;
  const int count =
      cv::connectedComponentsWithStats(patches, labels, stats, centroids, connectivity, CV_32S);
  std::vector<char> small(static_cast<size_t>(count), 0);
  for (int i = 1; i < count; ++i) {
    small[static_cast<size_t>(i)] = stats.at<int>(i, cv::CC_STAT_AREA) < area;
  }
  for (int y = 0; y < mask->rows; ++y) {
    const int* label = labels.ptr<int>(y);
    uint8_t* row = mask->ptr(y);
    for (int x = 0; x < mask->cols; ++x) {
      if (small[static_cast<size_t>(label[x])]) row[x] = value;
    }
  }
}

}  // namespace

void DropSpecks(cv::Mat* mask, double area) { PutSmall(*mask, 8, area, 0, mask); }

void FillHoles(cv::Mat* mask, double area) { PutSmall(*mask == 0, 4, area, 255, mask); }

void FillUnknown(const cv::Mat& unknown, cv::Mat* mask) {
  cv::Mat labels;
  const int count = cv::connectedComponents(unknown, labels, 8, CV_32S);
  std::vector<int64_t> balance(static_cast<size_t>(count), 0);  // tissue less background around
  for (int y = 0; y < mask->rows; ++y) {
    for (int x = 0; x < mask->cols; ++x) {
      if (labels.at<int>(y, x) != 0) continue;
      // Each known pixel counts once for every patch it touches.
      int seen[8];
      int patches = 0;
      for (int v = std::max(0, y - 1); v <= std::min(mask->rows - 1, y + 1); ++v) {
        for (int u = std::max(0, x - 1); u <= std::min(mask->cols - 1, x + 1); ++u) {
          const int label = labels.at<int>(v, u);
          if (label == 0 || std::find(seen, seen + patches, label) != seen + patches) continue;
          seen[patches++] = label;
          balance[static_cast<size_t>(label)] += mask->at<uint8_t>(y, x) ? 1 : -1;
        }
      }
    }
  }
  for (int y = 0; y < mask->rows; ++y) {
    for (int x = 0; x < mask->cols; ++x) {
      const int label = labels.at<int>(y, x);
      if (label) mask->at<uint8_t>(y, x) = balance[static_cast<size_t>(label)] > 0 ? 255 : 0;
    }
  }
}

}  // namespace eosin::tiling
