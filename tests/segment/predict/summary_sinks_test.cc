// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/summary_sinks.h"
#include "segment/predict/tissue_gate.h"

#include "tests/testing.h"

namespace eosin::testing {
namespace {

using namespace segment;

Band BandOf(int64_t y, int64_t width, std::vector<uint8_t> labels) {
  Band band;
  band.y = y;
  band.width = width;
  band.rows = static_cast<int64_t>(labels.size()) / width;
  band.labels = std::move(labels);
  return band;
}

PredictPlan Raster(int64_t width, int64_t height, double downsample) {
  PredictPlan plan;
  plan.width = width;
  plan.height = height;
  plan.downsample = downsample;
  return plan;
}

tiling::SlideGeometry SlideOf(int64_t width, int64_t height, std::array<int64_t, 4> bounds) {
  tiling::SlideGeometry slide;
  slide.width = width;
  slide.height = height;
  slide.bounds = bounds;
  return slide;
}

Band Gated(TissueGate* gate, Band band) {
  gate->Apply(&band);
  return band;
}

// 6 x 4 pixels of 2 level-0 pixels; a mask of 3 x 2 pixels of 4: two raster pixels a mask pixel.
TEST(TissueGate, KeepsTissueOnly) {
  core::Image picture(3, 2, 1);
  picture.row(0)[1] = 255;                      // columns 2, 3 of rows 0, 1
  picture.row(1)[0] = picture.row(1)[1] = 255;  // columns 0-3 of rows 2, 3
  const tiling::TissueMask tissue(picture, 12, 8);
  const std::vector<uint8_t> labels = {
      0, 0, 1, 2,   0, 0,  //
      0, 0, 1, 255, 0, 0,  //
      2, 2, 1, 0,   0, 0,  //
      1, 1, 1, 1,   0, 0,
  };
  const PredictPlan plan = Raster(6, 4, 2);
  TissueGate gate(&tissue, SlideOf(12, 8, {0, 0, 12, 8}), plan);
  ClassCounts counts;
  counts.Take(Gated(&gate, BandOf(0, 6, {labels.begin(), labels.begin() + 6})));
  counts.Take(Gated(&gate, BandOf(1, 6, {labels.begin() + 6, labels.end()})));
  EXPECT_EQ(counts[0], 1);
  EXPECT_EQ(counts[1], 7);
  EXPECT_EQ(counts[2], 3);
  // Bounds cut the first column of pixels (centre 1) and the last row (centre 7).
  TissueGate inner(&tissue, SlideOf(12, 8, {2, 0, 10, 6}), plan);
  ClassCounts bounded;
  bounded.Take(Gated(&inner, BandOf(0, 6, labels)));
  EXPECT_EQ(bounded[1], 3);
  EXPECT_EQ(bounded[2], 2);
  TissueGate open(nullptr, SlideOf(12, 8, {0, 0, 12, 8}), plan);
  ClassCounts all;
  all.Take(Gated(&open, BandOf(0, 6, labels)));
  EXPECT_EQ(all[0], 13);
  EXPECT_EQ(all[255], 1);
}

// The mask need not be a whole number of pixels: scale 3 under pixels of 2, centres 1, 3, 5, 7, 9.
TEST(TissueGate, CentresDecide) {
  core::Image picture(4, 1, 1);
  picture.row(0)[1] = 255;  // level 0: 3 to 6, centres 3 and 5
  const tiling::TissueMask tissue(picture, 12, 10);
  TissueGate gate(&tissue, SlideOf(12, 10, {0, 0, 12, 10}), Raster(6, 5, 2));
  Band band = BandOf(0, 6, {0, 1, 2, 3, 4, 5});
  band.probabilities = {10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25};  // two classes
  band = Gated(&gate, band);
  EXPECT_EQ(band.labels, (std::vector<uint8_t>{255, 1, 2, 255, 255, 255}));
  EXPECT_EQ(band.probabilities, (std::vector<uint8_t>{0, 11, 12, 0, 0, 0, 0, 21, 22, 0, 0, 0}));
}

// 5 x 3 level-0 pixels under pixels of 2: the centres 5 and 3 lie on the slide's edges.
TEST(TissueGate, TheSlidesEdgeIsOfTheSlide) {
  const std::vector<uint8_t> labels(6, 1);
  const auto slide = SlideOf(5, 3, {0, 0, 5, 3});
  TissueGate open(nullptr, slide, Raster(3, 2, 2));
  EXPECT_EQ(Gated(&open, BandOf(0, 3, labels)).labels, labels);
  core::Image picture(2, 1, 1);
  picture.row(0)[1] = 255;  // 2.5 to the right edge
  const tiling::TissueMask tissue(picture, 5, 3);
  TissueGate gate(&tissue, slide, Raster(3, 2, 2));
  EXPECT_EQ(Gated(&gate, BandOf(0, 3, labels)).labels,
            (std::vector<uint8_t>{255, 1, 1, 255, 1, 1}));
}

const std::vector<ClassStyle> kStyles = {{"background", {0, 0, 0}, false},
                                         {"gland", {0, 0, 200}, true}};

// Half opaque: the mean of 100 and the class's colour.
void ExpectTinted(const core::Image& picture, int x, int y, bool tinted) {
  EXPECT_EQ(picture.row(y)[3 * x], tinted ? 50 : 100) << x << " " << y;
  EXPECT_EQ(picture.row(y)[3 * x + 2], tinted ? 150 : 100) << x << " " << y;
}

TEST(Overlay, ARasterSmallerThanThePicture) {
  Overlay overlay(core::Image(8, 6, 3, 100), 3, 2, kStyles);
  overlay.Take(BandOf(0, 3, {0, 1, 1}));
  overlay.Take(BandOf(1, 3, {1, 0, 1}));
  // Columns floor(x * 3 / 8): 0 0 0 1 1 1 2 2; rows 0 0 0 1 1 1.
  for (int y = 0; y < 6; ++y) {
    for (int x = 0; x < 8; ++x) {
      const int column = x * 3 / 8;
      ExpectTinted(overlay.picture(), x, y, y < 3 ? column != 0 : column != 1);
    }
  }
}

TEST(Overlay, EveryPixelOfALargerRasterCounts) {
  Overlay overlay(core::Image(2, 1, 3, 100), 5, 2, kStyles);
  overlay.Take(BandOf(0, 5, {1, 1, 0, 0, 0, 1, 1, 1, 0, 0}));
  // Columns 0, 1 and 2 to 4: all of four pixels, one of six.
  ExpectTinted(overlay.picture(), 0, 0, true);
  EXPECT_EQ(overlay.picture().row(0)[3], 92);   // 100 - 100 / 12
  EXPECT_EQ(overlay.picture().row(0)[5], 108);  // 100 + 100 / 12
}

}  // namespace
}  // namespace eosin::testing
