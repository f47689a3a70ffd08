// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/plan.h"

#include <cmath>
#include <set>

#include "tests/testing.h"

namespace eosin::tiling {
namespace {

using core::ExitCode;
using eosin::testing::ExpectError;

SlideGeometry Geometry(int64_t width, int64_t height, double mpp,
                       const std::vector<double>& downsamples = {1}) {
  SlideGeometry slide;
  slide.width = width;
  slide.height = height;
  slide.bounds = {0, 0, width, height};
  slide.mpp = {mpp, mpp, "test", ""};
  for (const double d : downsamples) {
    slide.levels.push_back({static_cast<int64_t>(static_cast<double>(width) / d),
                            static_cast<int64_t>(static_cast<double>(height) / d), d});
  }
  return slide;
}

TileOptions Options(double mpp, int64_t size = 256, int64_t stride = 0) {
  TileOptions options;
  options.mpp = mpp;
  options.size = size;
  options.stride = stride;
  return options;
}

TEST(Plan, CoversALevelWithItsGrid) {
  const Plan plan = MakePlan(Geometry(1000, 600, 0.5), nullptr, Options(0.5));
  EXPECT_TRUE(plan.exact);
  EXPECT_EQ(plan.level, 0);
  EXPECT_EQ(plan.read_size, 256);
  EXPECT_EQ(plan.patch_size_level0, 256);
  ASSERT_EQ(plan.tiles.size(), 6u);  // 3 x 2 lie wholly inside
  EXPECT_EQ(plan.tiles[0].x, 0);
  EXPECT_EQ(plan.tiles[2].x, 512);
  EXPECT_EQ(plan.tiles[3].x, 0);
  EXPECT_EQ(plan.tiles[3].y, 256);
  EXPECT_EQ(plan.tiles[5].tissue, 1);
  EXPECT_TRUE(plan.rejected.empty());
}

TEST(Plan, TakesTheLevelWithinOnePerCent) {
  // 0.2498 um/px with levels 1, 4.0001 and 16: 1 um/px is level 1 to 0.1 %.
  const SlideGeometry slide = Geometry(40000, 30000, 0.2498, {1, 4.0001, 16.002});
  const Plan plan = MakePlan(slide, nullptr, Options(1));
  EXPECT_TRUE(plan.exact);
  EXPECT_EQ(plan.level, 1);
  EXPECT_EQ(plan.read_size, 256);
  EXPECT_DOUBLE_EQ(plan.tile_mpp, 0.2498 * 4.0001);  // what the tiles are, not what was asked
  EXPECT_EQ(plan.patch_size_level0, 1024);
  EXPECT_FALSE(MakePlan(slide, nullptr, Options(1.02)).exact);
  EXPECT_TRUE(MakePlan(slide, nullptr, Options(1.008)).exact);
}

TEST(Plan, ResamplesFromTheNextFinerLevel) {
  const SlideGeometry slide = Geometry(40000, 30000, 0.25, {1, 4, 16});
  const Plan plan = MakePlan(slide, nullptr, Options(0.5));
  EXPECT_FALSE(plan.exact);
  EXPECT_EQ(plan.level, 0);
  EXPECT_EQ(plan.read_size, 512);
  EXPECT_EQ(plan.patch_size_level0, 512);
  const Plan coarse = MakePlan(slide, nullptr, Options(2));
  EXPECT_EQ(coarse.level, 1);
  EXPECT_EQ(coarse.read_size, 512);
  EXPECT_EQ(coarse.patch_size_level0, 2048);
  EXPECT_DOUBLE_EQ(coarse.downsample, 8);
}

// TRIDENT's case of reference: 0.265 um/px, 512 px at 0.5 um are 966 level-0 pixels, not 1024.
TEST(Plan, CountsMicronsNotMagnifications) {
  const Plan plan = MakePlan(Geometry(20000, 20000, 0.265), nullptr, Options(0.5, 512));
  EXPECT_EQ(plan.patch_size_level0, 966);
}

TEST(Plan, KeepsTheFieldWithinHalfAPixelAtAnyScale) {
  for (double mpp0 = 0.11; mpp0 < 1.3; mpp0 += 0.0307) {
    const SlideGeometry slide = Geometry(9000, 9000, mpp0, {1, 2.0005, 8.003});
    for (const double target : {1.3, 1.7, 2.9}) {
      const Plan plan = MakePlan(slide, nullptr, Options(target, 512));
      const double microns = static_cast<double>(plan.patch_size_level0) * mpp0;
      EXPECT_NEAR(microns, 512 * plan.tile_mpp, 0.51 * mpp0) << mpp0 << " " << target;
      EXPECT_NEAR(plan.tile_mpp, target, 0.0101 * target);
      const double level_mpp = mpp0 * slide.levels[static_cast<size_t>(plan.level)].downsample;
      EXPECT_NEAR(plan.read_size * level_mpp, 512 * plan.tile_mpp, 0.51 * level_mpp);
    }
  }
}

TEST(Plan, RoundsEachPositionOnce) {
  // 3 px stride at 1.25 level-0 px a pixel: 3.75, so 0, 4, 8, 11, 15, ...
  const Plan plan = MakePlan(Geometry(60, 12, 0.4), nullptr, Options(0.5, 8, 3));
  EXPECT_EQ(plan.patch_size_level0, 10);
  std::vector<int64_t> xs;
  for (const PlannedTile& tile : plan.tiles) {
    if (tile.y == 0) xs.push_back(tile.x);
  }
  EXPECT_THAT(xs, ::testing::ElementsAre(0, 4, 8, 11, 15, 19, 23, 26, 30, 34, 38, 41, 45, 49));
}

TEST(Plan, OverlapsAndGapsFollowTheStride) {
  EXPECT_EQ(MakePlan(Geometry(1024, 256, 0.5), nullptr, Options(0.5, 256, 128)).tiles.size(), 7u);
  EXPECT_EQ(MakePlan(Geometry(1024, 256, 0.5), nullptr, Options(0.5, 256, 512)).tiles.size(), 2u);
}

TEST(Plan, StartsAtTheBoundsAndStaysInside) {
  SlideGeometry slide = Geometry(5000, 5000, 0.5);
  slide.bounds = {700, 900, 600, 300};
  const Plan plan = MakePlan(slide, nullptr, Options(0.5));
  ASSERT_EQ(plan.tiles.size(), 2u);
  EXPECT_EQ(plan.tiles[0].x, 700);
  EXPECT_EQ(plan.tiles[0].y, 900);
  EXPECT_EQ(plan.tiles[1].x, 956);
}

TEST(Plan, StaysInsideWhatTheLevelCovers) {
  SlideGeometry slide = Geometry(1025, 1025, 0.5, {1, 4});
  slide.levels[1] = {255, 256, 4};  // a pixel short: 1020 level-0 px
  const Plan plan = MakePlan(slide, nullptr, Options(2, 64));
  EXPECT_TRUE(plan.exact);
  for (const PlannedTile& tile : plan.tiles) EXPECT_LE(tile.x + 256, 1020);
  EXPECT_EQ(plan.tiles.size(), 3u * 4u);
}

TEST(Plan, TakesTilesWhollyInsideARegion) {
  TileOptions options = Options(0.5);
  options.roi = {200, 0, 600, 256, 0, 512, 256, 256};
  const Plan plan = MakePlan(Geometry(1024, 1024, 0.5), nullptr, options);
  ASSERT_EQ(plan.tiles.size(), 3u);  // x = 256 and 512 in the first; one in the second
  EXPECT_EQ(plan.tiles[0].x, 256);
  EXPECT_EQ(plan.tiles[1].x, 512);
  EXPECT_EQ(plan.tiles[2].y, 512);
  EXPECT_EQ(plan.outside_roi, 13);
}

TEST(Plan, ShiftingTheRegionNeverMovesTheGrid) {
  for (double shift = 0; shift < 300; shift += 37) {
    TileOptions options = Options(0.5);
    options.roi = {shift, shift, 700, 700};
    for (const PlannedTile& tile : MakePlan(Geometry(2000, 2000, 0.5), nullptr, options).tiles) {
      EXPECT_EQ(tile.x % 256, 0);
      EXPECT_EQ(tile.y % 256, 0);
    }
  }
}

TEST(Plan, KeepsTilesWithEnoughTissue) {
  core::Image mask(4, 1, 1);  // 256 px a mask pixel: tissue in columns 1 and half of ...
  mask.at(1, 0)[0] = 1;
  const TissueMask tissue(mask, 1024, 256);
  TileOptions options = Options(0.5, 256, 128);
  options.min_tissue = 0.5;
  const Plan plan = MakePlan(Geometry(1024, 256, 0.5), &tissue, options);
  ASSERT_EQ(plan.tiles.size(), 3u);
  EXPECT_EQ(plan.tiles[0].x, 128);
  EXPECT_FLOAT_EQ(plan.tiles[0].tissue, 0.5f);
  EXPECT_FLOAT_EQ(plan.tiles[1].tissue, 1.0f);
  EXPECT_EQ(plan.rejected.size(), 4u);
  options.min_tissue = 0;  // any touch, but not none
  EXPECT_EQ(MakePlan(Geometry(1024, 256, 0.5), &tissue, options).tiles.size(), 3u);
}

TEST(Plan, RefusesDetailThatIsNotThere) {
  const SlideGeometry slide = Geometry(4000, 4000, 0.5);
  ExpectError([&] { MakePlan(slide, nullptr, Options(0.47)); }, ExitCode::kBadInput, "finer");
  const Plan slight = MakePlan(slide, nullptr, Options(0.48));  // 4 %: cubic enlarging
  EXPECT_EQ(slight.read_size, 246);
  TileOptions options = Options(0.25);
  options.allow_upsample = true;
  EXPECT_EQ(MakePlan(slide, nullptr, options).read_size, 128);
}

TEST(Plan, RefusesASlideWithoutScale) {
  ExpectError([] { MakePlan(Geometry(400, 400, 0), nullptr, Options(0.5)); }, ExitCode::kBadInput,
              "mpp");
}

TEST(Plan, PredictsRawBytes) {
  TileOptions options = Options(0.5);
  options.encoding = "raw";
  const Plan plan = MakePlan(Geometry(25600, 25600, 0.5), nullptr, options);
  ASSERT_EQ(plan.tiles.size(), 10000u);
  const double raw = 10000.0 * 256 * 256 * 3;
  EXPECT_NEAR(static_cast<double>(plan.predicted_bytes), raw, 0.001 * raw);
}

TEST(TileOptions, AreCheckedByKey) {
  TileOptions options;
  EXPECT_DOUBLE_EQ(options.TargetMpp(), 0.5);
  options.magnification = 40;
  EXPECT_DOUBLE_EQ(options.TargetMpp(), 0.25);
  options.Check();
  options.mpp = 0.5;
  ExpectError([&] { options.Check(); }, ExitCode::kUsage, "magnification");
  options = {};
  options.roi = {0, 0, 5};
  ExpectError([&] { options.Check(); }, ExitCode::kUsage, "roi");
  options.roi = {0, 0, 5, 0};
  ExpectError([&] { options.Check(); }, ExitCode::kUsage, "empty");
  core::OptionSet set;
  options.Bind(set);
  ExpectError([&] { set.Set("size=0"); }, ExitCode::kUsage, "size");
  ExpectError([&] { set.Set("encoding=gif"); }, ExitCode::kUsage, "encoding");
  ExpectError([&] { set.Set("min-tissue=1"); }, ExitCode::kUsage, "min-tissue");
  set.Set("roi=1,2,3,4");
  EXPECT_EQ(options.roi, (std::vector<double>{1, 2, 3, 4}));
}

// Two option sets that give the same store have the same settings, and only those.
TEST(TileOptions, SettingsListWhatChangesContent) {
  TileOptions a, b;
  a.mpp = 0.25;
  b.magnification = 40;
  b.stride = b.size;
  EXPECT_EQ(a.Settings(""), b.Settings(""));
  std::set<std::string> all = {a.Settings("")};
  const auto differs = [&](const TileOptions& options, const std::string& hash = "") {
    EXPECT_TRUE(all.insert(options.Settings(hash)).second) << options.Settings(hash);
  };
  b = a, b.mpp = 0.26, differs(b);
  b = a, b.size = 224, differs(b);
  b = a, b.stride = 100, differs(b);
  b = a, b.min_tissue = 0.4, differs(b);
  b = a, b.tissue = "none", differs(b);
  b = a, b.tissue = "m.png", differs(b, "1"), differs(b, "2");
  b = a, b.roi = {0, 0, 9, 9}, differs(b);
  b = a, b.encoding = "png", differs(b);
  b = a, b.quality = 80, differs(b);
  b = a, b.mpp_override = 0.3, differs(b);
  b = a, b.allow_upsample = true, differs(b);
}

}  // namespace
}  // namespace eosin::tiling
