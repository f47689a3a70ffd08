// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/clam.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "tiling/tissue/components.h"

namespace eosin::tiling {
namespace {

using Contour = std::vector<cv::Point>;

constexpr double kDownsample = 64;
constexpr double kReferenceSide = 512;  // ref_patch_size

// _filter_contours: a contour stays when its area less its holes' is above `tissue_area`; of its
// holes the `max_holes` largest stay, those of them above `hole_area`.
cv::Mat DrawContours(const cv::Mat& binary, double tissue_area, double hole_area, int max_holes) {
  std::vector<Contour> contours;
  std::vector<cv::Vec4i> hierarchy;  // next, previous, first child, parent
  cv::findContours(binary, contours, hierarchy, cv::RETR_CCOMP, cv::CHAIN_APPROX_NONE);
  cv::Mat mask = cv::Mat::zeros(binary.size(), CV_8U);
  for (int i = 0; i < static_cast<int>(contours.size()); ++i) {
    if (hierarchy[static_cast<size_t>(i)][3] != -1) continue;
    std::vector<std::pair<double, int>> holes;
    double area = cv::contourArea(contours[static_cast<size_t>(i)]);
    for (int h = hierarchy[static_cast<size_t>(i)][2]; h != -1;
         h = hierarchy[static_cast<size_t>(h)][0]) {
      holes.emplace_back(cv::contourArea(contours[static_cast<size_t>(h)]), h);
      area -= holes.back().first;
    }
    if (area == 0 || area <= tissue_area) continue;
    std::stable_sort(holes.begin(), holes.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    // Even-odd, edges included: a hole's contour runs through the tissue around it, and tissue
    // inside a hole, a contour of its own, stays.
    std::vector<Contour> polygons = {contours[static_cast<size_t>(i)]};
    for (size_t h = 0; h < holes.size() && h < static_cast<size_t>(max_holes); ++h) {
      if (holes[h].first > hole_area) {
        polygons.push_back(contours[static_cast<size_t>(holes[h].second)]);
      }
    }
    cv::fillPoly(mask, polygons, 255);
  }
  return mask;
}

}  // namespace

ClamPreset FindClamPreset(const std::string& method) {
  if (method == "clam-biopsy") return {15, 11, 2, 1, 1, 2};
  if (method == "clam-resection") return {15, 11, 4, 100, 16, 8};
  if (method == "clam-tcga") return {8, 7, 4, 16, 4, 8};
  return {8, 7, 4, 100, 16, 8};
}

cv::Mat SegmentByClam(const cv::Mat& rgb, double scale, const ClamPreset& preset) {
  const int shrink = std::max(1, static_cast<int>(kDownsample / scale));
  const cv::Mat small = shrink > 1 ? ShrinkRepeatingEdge(rgb, shrink) : rgb;
  cv::Mat hsv, saturation;
  cv::cvtColor(small, hsv, cv::COLOR_RGB2HSV);
  cv::extractChannel(hsv, saturation, 1);
  cv::medianBlur(saturation, saturation, preset.median);
  cv::Mat binary = saturation > preset.saturation_threshold;
  const cv::Mat square = cv::Mat::ones(preset.close, preset.close, CV_8U);
  cv::morphologyEx(binary, binary, cv::MORPH_CLOSE, square);

  // int(): CLAM rounds the reference area down before it multiplies.
  const double downsample = scale * shrink;
  const double reference =
      static_cast<int>(kReferenceSide * kReferenceSide / (downsample * downsample));
  const cv::Mat mask = DrawContours(binary, preset.tissue_area * reference,
                                    preset.hole_area * reference, preset.max_holes);
  if (shrink == 1) return mask;
  cv::Mat out;
  cv::resize(mask, out, {}, shrink, shrink, cv::INTER_NEAREST);
  return out(cv::Rect(0, 0, rgb.cols, rgb.rows)).clone();
}

}  // namespace eosin::tiling
