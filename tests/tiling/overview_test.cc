// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/overview.h"

#include <cmath>

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

TEST(Overview, JpegTilesAreDecodedSmallWhereThatIsExactEnough) {
  TempFolder temp;
  // Smooth, so that the means of pixels and of scaled DCT differ by rounding alone.
  Image full(1100, 900, 3);
  for (int y = 0; y < full.height; ++y) {
    for (int x = 0; x < full.width; ++x) {
      full.at(x, y)[0] = static_cast<uint8_t>(120 + 80 * std::sin(x * 0.01));
      full.at(x, y)[1] = static_cast<uint8_t>(120 + 60 * std::cos(y * 0.02));
      full.at(x, y)[2] = static_cast<uint8_t>(200 - 40 * std::sin((x + y) * 0.015));
    }
  }
  eosin::testing::WriteJpegSlide(temp / "a.tif", {full}, 0.5);
  const auto slide = Slide::Open(temp / "a.tif");
  const Image all = slide->ReadRegion(0, 0, 0, full.width, full.height);
  for (const int block : {1, 3, 6, 8, 12, 16, 50}) {  // shrunk by 1, 1, 2, 8, 4, 8, 2
    const Overview overview = ReadOverview(*slide, 0.5 * block);
    const Image expected = ShrinkByMean(all, block);
    ASSERT_EQ(overview.image.width, expected.width) << block;
    ASSERT_EQ(overview.image.height, expected.height) << block;
    for (size_t i = 0; i < expected.pixels.size(); ++i) {
      ASSERT_NEAR(overview.image.pixels[i], expected.pixels[i], 2) << block << " " << i;
    }
    EXPECT_EQ(ReadOverview(*slide, 0.5 * block, 4).image.pixels, overview.image.pixels) << block;
  }
}

TEST(Overview, CellsAcrossABadTileAverageWhatIsReadable) {
  TempFolder temp;
  const Image full = DiscPicture(768, 256, 300, 128, 120);
  WriteSlide(temp / "a.tif", {full}, 0.5);
  eosin::testing::DamageTile(temp / "a.tif", 1);                            // x 256..511
  const Overview overview = ReadOverview(*Slide::Open(temp / "a.tif"), 5);  // cells of 10 px
  ASSERT_FALSE(overview.unknown.empty());
  // 250..259 has six readable columns; 510..519 has eight.
  EXPECT_EQ(*overview.unknown.at(25, 10), 0);
  EXPECT_EQ(*overview.unknown.at(26, 10), 255);
  EXPECT_EQ(*overview.unknown.at(50, 10), 255);
  EXPECT_EQ(*overview.unknown.at(51, 10), 0);
  uint64_t sum = 0;
  for (int y = 100; y < 110; ++y) {
    for (int x = 250; x < 256; ++x) sum += full.at(x, y)[0];
  }
  EXPECT_EQ(overview.image.at(25, 10)[0], (sum + 30) / 60);
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
