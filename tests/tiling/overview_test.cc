// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/overview.h"

#include "tests/tiling/made_slide.h"
#include "tests/tiling/tissue_picture.h"

namespace eosin::tiling {
namespace {

using core::ExitCode;
using core::Image;
using eosin::testing::DataFolder;
using eosin::testing::DiscPicture;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using eosin::testing::WriteSlide;

TEST(Overview, IsTheMeanOfItsPixels) {
  TempFolder temp;
  const Image full = DiscPicture(1000, 700, 500, 350, 300);
  WriteSlide(temp / "a.tif", {full}, 0.5);
  const auto slide = Slide::Open(temp / "a.tif");
  const Overview overview = ReadOverview(*slide, 8);
  EXPECT_DOUBLE_EQ(overview.scale, 16);
  EXPECT_EQ(overview.image.width, 63);  // the last column averages 8 pixels
  EXPECT_EQ(overview.image.height, 44);
  // Tiles may be shrunk before they are averaged: two roundings.
  const Image expected = ShrinkByMean(full, 16);
  ASSERT_EQ(overview.image.pixels.size(), expected.pixels.size());
  for (size_t i = 0; i < expected.pixels.size(); ++i) {
    ASSERT_NEAR(overview.image.pixels[i], expected.pixels[i], 1) << i;
  }
  EXPECT_EQ(overview.bad_tiles, 0);
  EXPECT_TRUE(overview.unknown.empty());
  EXPECT_LE(ReadOverview(*slide, 8, 1, 20).image.width, 20);
  EXPECT_EQ(ReadOverview(*slide, 8, 3).image.pixels, overview.image.pixels);
}

TEST(Overview, UsesACoarserLevel) {
  TempFolder temp;
  const Image full = DiscPicture(3000, 2600, 1500, 1300, 900);
  const Image half = ShrinkByMean(full, 2);
  WriteSlide(temp / "a.tif", {full, half}, 0.5);
  const auto slide = Slide::Open(temp / "a.tif");
  const Overview overview = ReadOverview(*slide, 3);  // level 1 is 1 um/px: means of 3 x 3
  EXPECT_DOUBLE_EQ(overview.scale, 6);
  EXPECT_EQ(overview.image.pixels, ShrinkByMean(half, 3).pixels);
}

TEST(Overview, BadTilesAreUnknown) {
  TempFolder temp;
  WriteSlide(temp / "a.tif", {DiscPicture(1024, 512, 500, 250, 240)}, 0.5);
  eosin::testing::DamageTile(temp / "a.tif", 1);  // x 256..511, y 0..255
  const Overview overview = ReadOverview(*Slide::Open(temp / "a.tif"), 8);
  EXPECT_EQ(overview.bad_tiles, 1);
  ASSERT_FALSE(overview.unknown.empty());
  int count = 0;
  for (const uint8_t value : overview.unknown.pixels) count += value != 0;
  EXPECT_EQ(count, 16 * 16);
  EXPECT_NE(overview.unknown.at(20, 5)[0], 0);
  EXPECT_EQ(overview.unknown.at(15, 5)[0], 0);
}

TEST(Overview, NothingReadableIsAnError) {
  const fs::path path = DataFolder() / "slides" / "hard" / "unreadable.svs";
  EOSIN_REQUIRE_DATA(path);
  const auto slide = Slide::Open(path);
  ExpectError([&] { ReadOverview(*slide, 8); }, ExitCode::kBadInput, "no part of");
}

TEST(ShrinkByMean, RoundsTheMean) {
  Image image(3, 1, 3, 10);
  image.at(1, 0)[0] = 13;
  const Image out = ShrinkByMean(image, 2);
  ASSERT_EQ(out.width, 2);
  EXPECT_EQ(out.at(0, 0)[0], 12);  // 11.5
  EXPECT_EQ(out.at(1, 0)[0], 10);
}

}  // namespace
}  // namespace eosin::tiling
