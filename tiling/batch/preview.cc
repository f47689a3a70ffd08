// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/preview.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace eosin::tiling {
namespace {

constexpr int kQuality = 70;
const cv::Scalar kGreen(20, 140, 60), kBlue(30, 70, 200), kGrey(150, 150, 150);

core::Bytes Encode(const cv::Mat& picture) {
  core::Image image(picture.cols, picture.rows, 3);
  for (int y = 0; y < picture.rows; ++y) {
    std::copy_n(picture.ptr(y), image.stride(), image.row(y));
  }
  return core::EncodeJpeg(image, kQuality);
}

void DrawContours(const TissueMask& tissue, double scale, cv::Mat* picture) {
  const core::Image& mask = tissue.mask();
  // At the picture's size first, so that contours of a coarse mask lie where its pixels lie.
  const cv::Mat raw(mask.height, mask.width, CV_8UC1, const_cast<uint8_t*>(mask.pixels.data()));
  cv::Mat binary = raw != 0, fitted(picture->rows, picture->cols, CV_8UC1);
  for (int y = 0; y < fitted.rows; ++y) {
    const int from_y = static_cast<int>((y + 0.5) * scale / tissue.scale_y());
    for (int x = 0; x < fitted.cols; ++x) {
      const int from_x = static_cast<int>((x + 0.5) * scale / tissue.scale_x());
      const bool inside = from_x < binary.cols && from_y < binary.rows;
      fitted.at<uint8_t>(y, x) = inside ? binary.at<uint8_t>(from_y, from_x) : uint8_t{0};
    }
  }
  std::vector<std::vector<cv::Point>> contours;
  cv::findContours(fitted, contours, cv::RETR_LIST, cv::CHAIN_APPROX_NONE);
  cv::drawContours(*picture, contours, -1, kGreen, 2);
}

template <typename Tile>
void DrawTiles(const std::vector<Tile>& tiles, double side, double scale,
               const cv::Scalar& colour, cv::Mat* picture) {
  for (const Tile& tile : tiles) {
    const auto place = [&](double v) { return static_cast<int>(v / scale); };
    const double x = static_cast<double>(tile.x), y = static_cast<double>(tile.y);
    const cv::Point from(place(x), place(y));
    const cv::Point to(std::max(from.x, place(x + side) - 1),
                       std::max(from.y, place(y + side) - 1));
    cv::rectangle(*picture, from, to, colour, 1);
  }
}

}  // namespace

std::array<uint8_t, 3> RejectionColour(Rejection) { return {150, 150, 150}; }

Previews DrawPreviews(const Overview& overview, const TissueMask* tissue, const Plan& plan,
                      const std::vector<PlannedTile>& kept,
                      const std::vector<RejectedTile>& rejected,
                      const std::vector<PlannedTile>& bad) {
  const core::Image& image = overview.image;
  const cv::Mat full(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.pixels.data()));
  const int longest = std::max(image.width, image.height);
  cv::Mat thumbnail = full.clone();
  double scale = overview.scale;  // level-0 pixels per pixel of the picture
  if (longest > kPreviewSide) {
    const double factor = static_cast<double>(kPreviewSide) / longest;
    const cv::Size size(std::max(1, static_cast<int>(image.width * factor)),
                        std::max(1, static_cast<int>(image.height * factor)));
    cv::resize(full, thumbnail, size, 0, 0, cv::INTER_AREA);
    scale /= factor;
  }
  Previews previews;
  previews.thumbnail = Encode(thumbnail);
  cv::Mat picture = thumbnail;
  if (tissue) {
    DrawContours(*tissue, scale, &picture);
    previews.tissue = Encode(picture);
  }
  const double side = static_cast<double>(plan.patch_size_level0);
  DrawTiles(rejected, side, scale, kGrey, &picture);
  DrawTiles(kept, side, scale, kBlue, &picture);
  DrawTiles(bad, side, scale, cv::Scalar(220, 30, 30), &picture);
  previews.grid = Encode(picture);
  return previews;
}

}  // namespace eosin::tiling
