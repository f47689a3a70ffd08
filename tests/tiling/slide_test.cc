// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/slide.h"

#include <cmath>
#include <fstream>

#include "tests/tiling/made_slide.h"

namespace eosin::tiling {
namespace {

using core::ExitCode;
using core::Image;
using eosin::testing::DataFolder;
using eosin::testing::DiscPicture;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using eosin::testing::WriteSlide;

TEST(FindMpp, PrefersOpenSlidesWord) {
  const SlideMpp mpp = FindMpp({{"openslide.mpp-x", "0.2521"},
                                {"openslide.mpp-y", "0.2523"},
                                {"tiff.XResolution", "1000"},
                                {"tiff.ResolutionUnit", "centimeter"}});
  EXPECT_DOUBLE_EQ(mpp.x, 0.2521);
  EXPECT_DOUBLE_EQ(mpp.y, 0.2523);
  EXPECT_EQ(mpp.source, "openslide.mpp-x");
}

TEST(FindMpp, ReadsTiffResolutionsInTheirUnit) {
  const SlideMpp cm = FindMpp({{"tiff.XResolution", "20000"},
                               {"tiff.YResolution", "20000"},
                               {"tiff.ResolutionUnit", "centimeter"}});
  EXPECT_DOUBLE_EQ(cm.x, 0.5);
  EXPECT_EQ(cm.source, "tiff.XResolution");
  // An inch is 25.4 mm: 50,800 dpi is half a micron.
  const SlideMpp inch = FindMpp({{"tiff.XResolution", "50800"}, {"tiff.ResolutionUnit", "inch"}});
  EXPECT_DOUBLE_EQ(inch.x, 0.5);
  EXPECT_DOUBLE_EQ(inch.y, 0.5);
}

TEST(FindMpp, BelievesNoSlipsAndDefaults) {
  EXPECT_FALSE(FindMpp({}).known());
  EXPECT_TRUE(FindMpp({}).doubt.empty());
  EXPECT_FALSE(FindMpp({{"tiff.XResolution", "20000"}}).known());  // no unit
  const SlideMpp screen = FindMpp({{"tiff.XResolution", "72"}, {"tiff.ResolutionUnit", "inch"}});
  EXPECT_FALSE(screen.known());
  EXPECT_THAT(screen.doubt, ::testing::HasSubstr("352.8"));
  // A slip of ten: 0.0274 for 0.274.
  EXPECT_FALSE(FindMpp({{"openslide.mpp-x", "0.0274"}, {"openslide.mpp-y", "0.0274"}}).known());
  EXPECT_FALSE(FindMpp({{"openslide.mpp-x", "0.25"}, {"openslide.mpp-y", "0.5"}}).known());
  EXPECT_FALSE(FindMpp({{"openslide.mpp-x", "nan"}, {"openslide.mpp-y", "none"}}).known());
}

TEST(Slide, ReadsItsOwnPyramid) {
  TempFolder temp;
  const Image full = DiscPicture(1200, 1100, 500, 350, 300);
  const Image quarter = DiscPicture(300, 275, 125, 87, 75);
  WriteSlide(temp / "a.tif", {full, quarter}, 0.46);
  Slide slide = Slide::Open(temp / "a.tif");
  EXPECT_EQ(slide.vendor(), "aperio");
  EXPECT_EQ(slide.width(), 1200);
  EXPECT_EQ(slide.height(), 1100);
  EXPECT_EQ(slide.objective_power(), 20);
  EXPECT_DOUBLE_EQ(slide.mpp().x, 0.46);
  ASSERT_EQ(slide.levels().size(), 2u);
  EXPECT_DOUBLE_EQ(slide.levels()[1].downsample, 4);
  EXPECT_EQ(slide.geometry().bounds, (std::array<int64_t, 4>{0, 0, 1200, 1100}));

  const Image part = slide.ReadRegion(300, 200, 0, 400, 300);
  for (int y = 0; y < 300; ++y) {
    for (int x = 0; x < 400; ++x) {
      for (int k = 0; k < 3; ++k) {
        ASSERT_EQ(part.at(x, y)[k], full.at(300 + x, 200 + y)[k]) << x << "," << y;
      }
    }
  }
  EXPECT_EQ(slide.ReadRegion(0, 0, 1, 300, 275).pixels, quarter.pixels);
  // Outside the slide there is nothing; nothing is white.
  EXPECT_EQ(slide.ReadRegion(2000, 2000, 0, 8, 8).pixels, Image(8, 8, 3, 255).pixels);
}

// OpenSlide 3.4.1 over libtiff 4.5 returns wrong pixels for them.
TEST(Slide, LeavesOutLevelsSmallerThanATile) {
  TempFolder temp;
  for (const int width : {1000, 1200}) {  // 250 x 275: too narrow; 300 x 225: not high enough
    const Image full = DiscPicture(width, 2100 - width, 500, 350, 300);
    WriteSlide(temp / "a.tif", {full, ShrinkByMean(full, 4)}, 0.5);
    Slide slide = Slide::Open(temp / "a.tif");
    EXPECT_EQ(slide.levels().size(), 1u);
    EXPECT_EQ(ReadOverview(slide, 8).image.pixels, ShrinkByMean(full, 16).pixels);
    WriteSlide(temp / "b.tif", {ShrinkByMean(full, 4)}, 0.5);
    Slide small = Slide::Open(temp / "b.tif");
    ExpectError([&] { small.ReadRegion(0, 0, 0, 8, 8); }, ExitCode::kBadInput, "smaller than one");
  }
}

TEST(Slide, TakesAnOverride) {
  TempFolder temp;
  WriteSlide(temp / "a.tif", {DiscPicture(300, 300, 0, 0, 9)}, 0);
  Slide slide = Slide::Open(temp / "a.tif");
  try {
    slide.RequireMpp();
    FAIL();
  } catch (const core::SlideError& error) {
    EXPECT_THAT(error.hint(), ::testing::HasSubstr("--mpp-override"));
  }
  slide.OverrideMpp(0.25);
  EXPECT_DOUBLE_EQ(slide.RequireMpp().mean(), 0.25);
  EXPECT_EQ(slide.mpp().source, "override");
}

TEST(Slide, SurvivesADamagedPart) {
  TempFolder temp;
  const Image full = DiscPicture(1024, 512, 500, 250, 240);
  WriteSlide(temp / "a.tif", {full}, 0.5);
  eosin::testing::DamageTile(temp / "a.tif", 1);  // x 256..511, y 0..255
  Slide slide = Slide::Open(temp / "a.tif");
  for (int round = 0; round < 3; ++round) {
    ExpectError([&] { slide.ReadRegion(300, 10, 0, 64, 64); }, ExitCode::kBadInput, "300,10");
    EXPECT_EQ(slide.ReadRegion(600, 100, 0, 1, 1).pixels[0], full.at(600, 100)[0]);
  }
}

TEST(Slide, SaysWhatIsWrongWithAFile) {
  TempFolder temp;
  ExpectError([&] { Slide::Open(temp / "none.svs"); }, ExitCode::kBadInput, "none.svs");
  ExpectError([&] { Slide::Open(temp.path()); }, ExitCode::kBadInput, "directory");
  std::ofstream(temp / "text.svs") << "not a slide";
  ExpectError([&] { Slide::Open(temp / "text.svs"); }, ExitCode::kBadInput, "text.svs");
}

TEST(Overview, IsTheMeanOfItsPixels) {
  TempFolder temp;
  const Image full = DiscPicture(1000, 700, 500, 350, 300);
  WriteSlide(temp / "a.tif", {full}, 0.5);
  Slide slide = Slide::Open(temp / "a.tif");
  const Overview overview = ReadOverview(slide, 8);
  EXPECT_DOUBLE_EQ(overview.scale, 16);
  EXPECT_EQ(overview.image.width, 63);  // the last column averages 8 pixels
  EXPECT_EQ(overview.image.height, 44);
  EXPECT_EQ(overview.image.pixels, ShrinkByMean(full, 16).pixels);
  EXPECT_EQ(overview.unread, 0);
  EXPECT_LE(ReadOverview(slide, 8, 20).image.width, 20);
}

TEST(Overview, UsesACoarserLevelAndReadsInBlocks) {
  TempFolder temp;
  const Image full = DiscPicture(3000, 2600, 1500, 1300, 900);
  const Image half = ShrinkByMean(full, 2);
  WriteSlide(temp / "a.tif", {full, half}, 0.5);
  Slide slide = Slide::Open(temp / "a.tif");
  const Overview overview = ReadOverview(slide, 3);  // level 1 is 1 um/px: means of 3 x 3
  EXPECT_DOUBLE_EQ(overview.scale, 6);
  EXPECT_EQ(overview.image.pixels, ShrinkByMean(half, 3).pixels);
}

TEST(ShrinkByMean, RoundsTheMean) {
  Image image(3, 1, 3, 10);
  image.at(1, 0)[0] = 13;
  const Image out = ShrinkByMean(image, 2);
  ASSERT_EQ(out.width, 2);
  EXPECT_EQ(out.at(0, 0)[0], 12);  // 11.5
  EXPECT_EQ(out.at(1, 0)[0], 10);
}

TEST(RealSlides, SayWhatTheyAre) {
  const fs::path folder = DataFolder() / "slides";
  EOSIN_REQUIRE_DATA(folder);
  Slide cmu = Slide::Open(folder / "CMU-1-Small-Region.svs");
  EXPECT_EQ(cmu.width(), 2220);
  EXPECT_EQ(cmu.height(), 2967);
  EXPECT_NEAR(cmu.mpp().mean(), 0.499, 1e-9);
  EXPECT_EQ(cmu.objective_power(), 20);
  EXPECT_THAT(cmu.associated_names(), ::testing::Contains("thumbnail"));
  const Slide tcga = Slide::Open(folder / "TCGA-CR-7395-01A-01-TS1.svs");
  EXPECT_FALSE(tcga.mpp().known());
  ExpectError([&] { tcga.RequireMpp(); }, ExitCode::kBadInput, "does not say its scale");
  ExpectError([&] { Slide::Open(folder / "hard" / "broken.svs"); }, ExitCode::kBadInput, "broken");
  Slide unreadable = Slide::Open(folder / "hard" / "unreadable.svs");
  ExpectError([&] { ReadOverview(unreadable, 8); }, ExitCode::kBadInput, "no part of");
}

}  // namespace
}  // namespace eosin::tiling
