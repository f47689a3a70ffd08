// SPDX-License-Identifier: Apache-2.0
// The default tissue method on made overviews whose stains, glass, noise, light and pens it was not
// tuned on, and on real pen marks with their true masks.
#include <algorithm>
#include <vector>

#include "core/image/codec.h"
#include "tests/testing.h"
#include "tiling/slides/slide.h"
#include "tiling/tissue/tissue.h"
#include "tools/bench/tissue_scenes.h"

namespace eosin::tiling {
namespace {

using bench::MakeTissueScene;
using bench::SceneFamily;
using bench::TissueScene;
using core::Image;
using eosin::testing::DataFolder;

Image Segment(const Image& image, const std::string& method, const TissueSettings& settings = {}) {
  Overview overview;
  overview.image = image;
  overview.scale = bench::kSceneScale;
  return SegmentTissue(overview, bench::kSceneMpp, method, settings);
}

double Iou(const Image& mask, const Image& truth) {
  double both = 0, either = 0;
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    both += mask.pixels[i] && truth.pixels[i];
    either += mask.pixels[i] || truth.pixels[i];
  }
  return either > 0 ? both / either : 1;
}

// Share of the pixels marked in `where` that are tissue.
double ShareOf(const Image& mask, const Image& where) {
  double all = 0, tissue = 0;
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    all += where.pixels[i] != 0;
    tissue += where.pixels[i] && mask.pixels[i];
  }
  return tissue / std::max(1.0, all);
}

TEST(Scenes, AreTheSameForTheSameSeedAndDifferOtherwise) {
  const TissueScene a = MakeTissueScene("red pen", SceneFamily::kTune, 3, 200, 160);
  EXPECT_EQ(a.rgb.pixels, MakeTissueScene("red pen", SceneFamily::kTune, 3, 200, 160).rgb.pixels);
  EXPECT_NE(a.truth.pixels,
            MakeTissueScene("red pen", SceneFamily::kTune, 4, 200, 160).truth.pixels);
  EXPECT_NE(a.rgb.pixels,
            MakeTissueScene("red pen", SceneFamily::kHeldOut, 3, 200, 160).rgb.pixels);
}

TEST(Scenes, TruthLeavesInkAndFrameOut) {
  const TissueScene pen = MakeTissueScene("black pen", SceneFamily::kTune, 0, 500, 400);
  EXPECT_GT(std::count(pen.ink.pixels.begin(), pen.ink.pixels.end(), 255), 500);
  for (size_t i = 0; i < pen.ink.pixels.size(); ++i) {
    ASSERT_FALSE(pen.ink.pixels[i] && pen.truth.pixels[i]);
  }
  const TissueScene frame = MakeTissueScene("black frame", SceneFamily::kTune, 0, 500, 400);
  EXPECT_LT(frame.rgb.at(3, 3)[0], 30);
  EXPECT_EQ(*frame.truth.at(3, 3), 0);
}

TEST(Scenes, HeldOutCasesAreFound) {
  double sum = 0, plain = 0;
  const std::vector<std::string>& cases = bench::SceneCases();
  for (const std::string& scene_case : cases) {
    const TissueScene scene = MakeTissueScene(scene_case, SceneFamily::kHeldOut, 0);
    const double iou = Iou(Segment(scene.rgb, "double-pass"), scene.truth);
    EXPECT_GE(iou, 0.75) << scene_case;
    sum += iou;
    plain += Iou(Segment(scene.rgb, "otsu"), scene.truth);
  }
  const auto count = static_cast<double>(cases.size());
  EXPECT_GE(sum / count, 0.82);
  EXPECT_GT(sum, plain);
}

TEST(Pen, IsNoTissueUnlessAskedFor) {
  for (const char* pen : {"red pen", "green pen", "blue pen", "black pen"}) {
    const TissueScene scene = MakeTissueScene(pen, SceneFamily::kHeldOut, 1);
    EXPECT_LT(ShareOf(Segment(scene.rgb, "double-pass"), scene.ink), 0.3) << pen;
  }
  const TissueScene scene = MakeTissueScene("green pen", SceneFamily::kHeldOut, 1);
  EXPECT_GT(ShareOf(Segment(scene.rgb, "double-pass", {.remove_pen = false}), scene.ink), 0.9);
}

TEST(Pen, RealMarksAreNoTissue) {
  const fs::path folder = DataFolder() / "slides" / "hard";
  EOSIN_REQUIRE_DATA(folder);
  // Of red ink, what lies dry and thin over tissue keeps the colour of eosin.
  const std::vector<std::pair<std::string, double>> most = {
      {"pen_red", 0.25}, {"pen_green", 0.05}, {"pen_black", 0.05}};
  for (const auto& [name, share] : most) {
    const auto slide = Slide::Open(folder / (name + "_pyr.tif"));
    slide->OverrideMpp(bench::kSceneMpp);
    Overview overview = ReadOverview(*slide, bench::kSceneMpp);
    overview.scale = bench::kSceneScale;
    const Image ink = core::ReadMask(folder / (name + "_mask.png"));
    const Image mask = SegmentTissue(overview, bench::kSceneMpp, "double-pass");
    ASSERT_EQ(mask.pixels.size(), ink.pixels.size());
    EXPECT_LT(ShareOf(mask, ink), share) << name;
    const Image plain = SegmentTissue(overview, bench::kSceneMpp, "otsu");
    EXPECT_GT(ShareOf(plain, ink), 0.9) << name;  // the saturation alone takes all of it
  }
}

}  // namespace
}  // namespace eosin::tiling
