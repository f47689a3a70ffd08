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
                            static_cast<int64_t>(static_cast<double>(height) / d), d, 256, 256});
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
  EXPECT_EQ(plan.mode, TileMode::kCrop);
  EXPECT_EQ(plan.level, 0);
  EXPECT_EQ(plan.tile_size, 256);
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
  EXPECT_EQ(plan.mode, TileMode::kCrop);
  EXPECT_EQ(plan.level, 1);
  EXPECT_EQ(plan.tile_size, 256);
  EXPECT_DOUBLE_EQ(plan.tile_mpp, 0.2498 * 4.0001);  // what the tiles are, not what was asked
  EXPECT_EQ(plan.patch_size_level0, 1024);
  EXPECT_FALSE(MakePlan(slide, nullptr, Options(1.02)).exact());
  EXPECT_TRUE(MakePlan(slide, nullptr, Options(1.008)).exact());
}

TEST(Plan, ResamplesFromTheNextFinerLevel) {
  const SlideGeometry slide = Geometry(40000, 30000, 0.25, {1, 4, 16});
  const Plan plan = MakePlan(slide, nullptr, Options(0.5));
  EXPECT_EQ(plan.mode, TileMode::kResample);
  EXPECT_EQ(plan.level, 0);
  EXPECT_EQ(plan.patch_size_level0, 512);
  const Plan coarse = MakePlan(slide, nullptr, Options(2));
  EXPECT_EQ(coarse.level, 1);
  EXPECT_EQ(coarse.level_downsample, 4);
  EXPECT_EQ(coarse.patch_size_level0, 2048);
  EXPECT_DOUBLE_EQ(coarse.downsample, 8);
}

// TRIDENT's case of reference: 0.265 um/px, 512 px at 0.5 um are 966 level-0 pixels, not 1024.
TEST(Plan, CountsMicronsNotMagnifications) {
  const Plan plan = MakePlan(Geometry(20000, 20000, 0.265), nullptr, Options(0.5, 512));
  EXPECT_EQ(plan.patch_size_level0, 966);
}

// 40 scales: the field is what was asked, or what the level has; walk_test.cc measures it in
// pixels.
TEST(Plan, KeepsTheFieldAtAnyScale) {
  for (int k = 0; k < 40; ++k) {
    const double mpp0 = 0.11 + k * (1.3 - 0.11) / 39;
    const SlideGeometry slide = Geometry(9000, 9000, mpp0, {1, 2.0005, 8.003});
    for (const double target : {1.3, 1.7, 2.9}) {
      const Plan plan = MakePlan(slide, nullptr, Options(target, 512));
      EXPECT_NEAR(plan.tile_size * plan.downsample * mpp0, 512 * plan.tile_mpp, 1e-9);
      const double tolerance = plan.exact() ? 0.0101 : 1e-12;
      EXPECT_NEAR(plan.tile_mpp, target, tolerance * target) << mpp0;
      EXPECT_NEAR(static_cast<double>(plan.patch_size_level0), 512 * plan.downsample, 0.5);
      EXPECT_EQ(plan.level_downsample, slide.levels[static_cast<size_t>(plan.level)].downsample);
      if (plan.exact()) {
        EXPECT_EQ(plan.downsample, plan.level_downsample);
      }
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
  slide.levels[1] = {255, 256, 4, 256, 256};  // a pixel short: 1020 level-0 px
  const Plan plan = MakePlan(slide, nullptr, Options(2, 64));
  EXPECT_EQ(plan.mode, TileMode::kCrop);
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
  EXPECT_NEAR(slight.downsample, 0.96, 1e-12);
  EXPECT_EQ(slight.patch_size_level0, 246);
  TileOptions options = Options(0.25);
  options.allow_upsample = true;
  EXPECT_EQ(MakePlan(slide, nullptr, options).patch_size_level0, 128);
}

TEST(Plan, RefusesASlideWithoutScale) {
  ExpectError([] { MakePlan(Geometry(400, 400, 0), nullptr, Options(0.5)); }, ExitCode::kBadInput,
              "mpp");
}

// Windows of a coarse level start at its whole pixels, `stride` apart, wherever the bounds begin.
TEST(Plan, WindowsOfALevelNeverShareAPixel) {
  for (const double downsample : {2.0005, 3.9991, 16.003}) {
    SlideGeometry slide = Geometry(30000, 20000, 0.25, {1, downsample});
    slide.bounds = {1237, 911, 25000, 18000};
    const Plan plan = MakePlan(slide, nullptr, Options(0.25 * downsample, 64));
    ASSERT_EQ(plan.mode, TileMode::kCrop);
    ASSERT_GT(plan.tiles.size(), 40u);
    int64_t last = -1;
    for (const PlannedTile& tile : plan.tiles) {
      EXPECT_GE(tile.x, 1237);
      EXPECT_LE(tile.x + plan.patch_size_level0, 1237 + 25000);
      const int64_t window = std::llround(static_cast<double>(tile.x) / downsample);
      if (tile.x != plan.tiles[0].x) {
        EXPECT_EQ(window - last, 64);
      }
      last = window;
    }
  }
}

TEST(Plan, AlignsToStoredTiles) {
  SlideGeometry slide = Geometry(4000, 3000, 0.25, {1, 4});
  slide.levels[1].tile_width = slide.levels[1].tile_height = 240;
  slide.levels[1].jpeg_tiles = true;
  slide.bounds = {100, 0, 3900, 3000};
  TileOptions options;
  options.align = "tiles";
  options.mpp = 1.04;  // 4 % off level 1
  const Plan plan = MakePlan(slide, nullptr, options);
  EXPECT_EQ(plan.mode, TileMode::kCopy);
  EXPECT_EQ(plan.level, 1);
  EXPECT_EQ(plan.tile_size, 240);
  EXPECT_EQ(plan.stride, 240);
  EXPECT_DOUBLE_EQ(plan.tile_mpp, 1);
  EXPECT_EQ(plan.patch_size_level0, 960);
  ASSERT_EQ(plan.tiles.size(), 9u);  // 4 x 3 whole tiles of 1000 x 750 px, the first column cut off
  EXPECT_EQ(plan.tiles[0].x, 960);
  EXPECT_EQ(Describe(plan), "9 tiles of 240 px at 1 um/px copied from level 1");
  slide.levels[1].jpeg_tiles = false;
  EXPECT_EQ(MakePlan(slide, nullptr, options).mode, TileMode::kCrop);
  slide.levels[1].tile_height = 256;
  ExpectError([&] { MakePlan(slide, nullptr, options); }, ExitCode::kBadInput, "240 x 256");
  options.mpp = 0.5;
  ExpectError([&] { MakePlan(slide, nullptr, options); }, ExitCode::kBadInput, "0.25, 1 um/px");
}

TEST(Plan, FiltersAreReasonsOfTheirOwn) {
  core::Image mask(4, 1, 1, 255);
  mask.at(3, 0)[0] = 0;
  const TissueMask tissue(mask, 1024, 256);
  const Plan plan =
      MakePlan(Geometry(1024, 256, 0.5), &tissue, Options(0.5),
               [](int64_t x, int64_t, int64_t side) { return x != 256 && side == 256; });
  ASSERT_EQ(plan.tiles.size(), 2u);
  ASSERT_EQ(plan.rejected.size(), 2u);
  EXPECT_EQ(plan.rejected[0].reason, Rejection::kExcluded);
  EXPECT_EQ(plan.rejected[1].reason, Rejection::kTissue);
  std::set<std::string> names;
  for (int i = 0; i < kRejections; ++i) names.insert(RejectionName(static_cast<Rejection>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kRejections));
}

TEST(Plan, RefusesMoreTilesThanFitAnywhere) {
  ExpectError([] { MakePlan(Geometry(90000, 90000, 0.5), nullptr, Options(0.5, 256, 1)); },
              ExitCode::kBadInput, "stride");  // it depends on the slide
}

TEST(Plan, SaysHowTilesAreMade) {
  const Plan plan = MakePlan(Geometry(25600, 25600, 0.25), nullptr, Options(0.5, 64));
  EXPECT_EQ(Describe(plan), "40,000 tiles of 64 px at 0.5 um/px resampled from level 0");
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
  options = {};
  options.size = 7;
  ExpectError([&] { options.Check(); }, ExitCode::kUsage, "size");
  options.align = "tiles";
  ExpectError([&] { options.Check(); }, ExitCode::kUsage, "align");
  core::OptionSet set;
  options.Bind(set);
  ExpectError([&] { set.Set("size=-1"); }, ExitCode::kUsage, "size");
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
  b.size = b.stride = 256;
  EXPECT_EQ(a.Settings("", ""), b.Settings("", ""));
  std::set<std::string> all = {a.Settings("", "")};
  const auto differs = [&](const TileOptions& options, const std::string& hash = "") {
    EXPECT_TRUE(all.insert(options.Settings(hash, "")).second) << options.Settings(hash, "");
  };
  b = a, b.mpp = 0.26, differs(b);
  b = a, b.size = 224, differs(b);
  b = a, b.stride = 100, differs(b);
  b = a, b.min_tissue = 0.4, differs(b);
  b = a, b.tissue = "none", differs(b);
  b = a, b.tissue = "m.png", differs(b, "1"), differs(b, "2");
  b = a, b.roi = {0, 0, 9, 9}, differs(b);
  b = a, b.encoding = "png", differs(b);
  b = a, b.jpeg_quality = 80, differs(b);
  b = a, b.quality = "none", differs(b);
  b = a, b.stain = "none", differs(b);
  b = a, b.limits.pen = 0.2, differs(b);
  b = a, b.align = "tiles", differs(b);
  b = a, b.mpp_override = 0.3, differs(b);
  b = a, b.allow_upsample = true, differs(b);
}

}  // namespace
}  // namespace eosin::tiling
