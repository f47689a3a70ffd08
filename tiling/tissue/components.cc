// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/components.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace eosin::tiling {
namespace {

void PutSmall(const cv::Mat& patches, int connectivity, double area, bool at_edge, uint8_t value,
              cv::Mat* mask) {
  cv::Mat labels, stats, centroids;
  const int count =
      cv::connectedComponentsWithStats(patches, labels, stats, centroids, connectivity, CV_32S);
  std::vector<char> small(static_cast<size_t>(count), 0);
  for (int i = 1; i < count; ++i) {
    const int* s = stats.ptr<int>(i);
    const bool inside = s[cv::CC_STAT_LEFT] > 0 && s[cv::CC_STAT_TOP] > 0 &&
                        s[cv::CC_STAT_LEFT] + s[cv::CC_STAT_WIDTH] < mask->cols &&
                        s[cv::CC_STAT_TOP] + s[cv::CC_STAT_HEIGHT] < mask->rows;
    small[static_cast<size_t>(i)] = s[cv::CC_STAT_AREA] < area && (at_edge || inside);
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

void DropSpecks(cv::Mat* mask, double area) { PutSmall(*mask, 8, area, true, 0, mask); }

void FillHoles(cv::Mat* mask, double area) { PutSmall(*mask == 0, 4, area, false, 255, mask); }

void FillByBorder(const cv::Mat& patches, double share, cv::Mat* mask) {
  cv::Mat labels;
  const int count = cv::connectedComponents(patches, labels, 8, CV_32S);
  if (count < 2) return;
  std::vector<int64_t> around(static_cast<size_t>(count), 0), set(static_cast<size_t>(count), 0);
  cv::Mat border;
  cv::dilate(patches, border, cv::Mat());
  for (int y = 0; y < mask->rows; ++y) {
    for (int x = 0; x < mask->cols; ++x) {
      if (!border.at<uint8_t>(y, x) || labels.at<int>(y, x) != 0) continue;
      // Each pixel counts once for every patch it touches.
      int seen[8];
      int touched = 0;
      for (int v = std::max(0, y - 1); v <= std::min(mask->rows - 1, y + 1); ++v) {
        for (int u = std::max(0, x - 1); u <= std::min(mask->cols - 1, x + 1); ++u) {
          const int label = labels.at<int>(v, u);
          if (label == 0 || std::find(seen, seen + touched, label) != seen + touched) continue;
          seen[touched++] = label;
          ++around[static_cast<size_t>(label)];
          set[static_cast<size_t>(label)] += mask->at<uint8_t>(y, x) != 0;
        }
      }
    }
  }
  std::vector<uint8_t> value(static_cast<size_t>(count), 0);
  for (size_t i = 1; i < value.size(); ++i) {
    value[i] = static_cast<double>(set[i]) > share * static_cast<double>(around[i]) ? 255 : 0;
  }
  for (int y = 0; y < mask->rows; ++y) {
    const int* label = labels.ptr<int>(y);
    uint8_t* row = mask->ptr(y);
    for (int x = 0; x < mask->cols; ++x) {
      if (label[x]) row[x] = value[static_cast<size_t>(label[x])];
    }
  }
}

cv::Mat ShrinkRepeatingEdge(const cv::Mat& image, int by) {
  const cv::Size size((image.cols + by - 1) / by, (image.rows + by - 1) / by);
  cv::Mat padded, out;
  cv::copyMakeBorder(image, padded, 0, size.height * by - image.rows, 0,
                     size.width * by - image.cols, cv::BORDER_REPLICATE);
  cv::resize(padded, out, size, 0, 0, cv::INTER_AREA);
  return out;
}

int OddPixels(double um, double mpp) { return 2 * static_cast<int>(um / mpp / 2 + .5) + 1; }

cv::Mat Disc(double um, double mpp) {
  const int side = OddPixels(um, mpp);
  return cv::getStructuringElement(cv::MORPH_ELLIPSE, {side, side});
}

}  // namespace eosin::tiling
