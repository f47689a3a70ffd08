// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/clam.h"

#include <gtest/gtest.h>
#include <opencv2/imgproc.hpp>

namespace eosin::tiling {
namespace {

// White with squares of saturation 102 of 255; scale 64, so that nothing is shrunk.
cv::Mat Squares(const std::vector<cv::Rect>& squares, int side = 200) {
  cv::Mat rgb(side, side, CV_8UC3, cv::Scalar::all(250));
  for (const cv::Rect& square : squares) rgb(square).setTo(cv::Scalar(250, 150, 200));
  return rgb;
}

int Area(const cv::Mat& mask) { return cv::countNonZero(mask); }

TEST(Clam, PresetsAreThePublishedOnes) {
  const ClamPreset standard = FindClamPreset("clam"), biopsy = FindClamPreset("clam-biopsy"),
                   resection = FindClamPreset("clam-resection"), tcga = FindClamPreset("clam-tcga");
  const auto is = [](const ClamPreset& p, int s, int m, int c, int t, int h, int n) {
    return p.saturation_threshold == s && p.median == m && p.close == c && p.tissue_area == t &&
           p.hole_area == h && p.max_holes == n;
  };
  EXPECT_TRUE(is(standard, 8, 7, 4, 100, 16, 8));
  EXPECT_TRUE(is(biopsy, 15, 11, 2, 1, 1, 2));
  EXPECT_TRUE(is(resection, 15, 11, 4, 100, 16, 8));
  EXPECT_TRUE(is(tcga, 8, 7, 4, 16, 4, 8));
}

// At downsample 64 a square of 512 level-0 px is 8 x 8 = 64 px. Contours run through the centres
// of border pixels: a square of n px has the area (n - 1)^2.
TEST(Clam, AreasAreInSquaresOf512) {
  const ClamPreset preset = {8, 1, 1, 16, 4, 8};                               // 1,024 px of tissue
  EXPECT_EQ(Area(SegmentByClam(Squares({{50, 50, 33, 33}}), 64, preset)), 0);  // 32^2 = 1,024
  EXPECT_EQ(Area(SegmentByClam(Squares({{50, 50, 34, 34}}), 64, preset)), 34 * 34);
}

TEST(Clam, KeepsOnlyTheLargestHolesAboveTheArea) {
  cv::Mat rgb = Squares({{20, 20, 160, 160}});
  const auto hole = [&](int x, int y, int side) {
    rgb(cv::Rect(x, y, side, side)).setTo(cv::Scalar::all(250));
  };
  hole(30, 30, 30);
  hole(80, 30, 28);
  hole(130, 30, 26);
  hole(30, 90, 10);  // its contour, 11^2 = 121 px, is below 4 * 64
  const ClamPreset all = {8, 1, 1, 1, 4, 8}, two = {8, 1, 1, 1, 4, 2};
  EXPECT_EQ(Area(SegmentByClam(rgb, 64, all)), 160 * 160 - 30 * 30 - 28 * 28 - 26 * 26);
  EXPECT_EQ(Area(SegmentByClam(rgb, 64, two)), 160 * 160 - 30 * 30 - 28 * 28);
}

TEST(Clam, TakesTissueInsideAHole) {
  cv::Mat rgb = Squares({{20, 20, 160, 160}});
  rgb(cv::Rect(60, 60, 80, 80)).setTo(cv::Scalar::all(250));
  rgb(cv::Rect(80, 80, 40, 40)).setTo(cv::Scalar(250, 150, 200));
  const ClamPreset preset = {8, 1, 1, 1, 1, 8};
  EXPECT_EQ(Area(SegmentByClam(rgb, 64, preset)), 160 * 160 - 80 * 80 + 40 * 40);
}

TEST(Clam, WorksNearADownsampleOf64) {
  cv::Mat rgb = Squares({{40, 40, 120, 120}}, 203);
  const cv::Mat mask = SegmentByClam(rgb, 16, FindClamPreset("clam-biopsy"));  // 4 x 4 px a pixel
  EXPECT_EQ(mask.size(), rgb.size());
  EXPECT_NEAR(Area(mask), 120 * 120, 4 * 4 * 120);
  for (int y = 0; y < 200; y += 4) {
    for (int x = 0; x < 200; x += 4) {
      ASSERT_EQ(Area(mask(cv::Rect(x, y, 4, 4))) % 16, 0) << x << " " << y;
    }
  }
}

}  // namespace
}  // namespace eosin::tiling
