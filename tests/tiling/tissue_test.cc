// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/tissue.h"

#include <cmath>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/image/codec.h"
#include "tests/testing.h"

namespace eosin::tiling {
namespace {

using core::ExitCode;
using core::Image;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;

// Paints a disc; colours wobble by noise as a camera's do.
void Disc(Image* image, double cx, double cy, double radius, std::array<int, 3> colour) {
  for (int y = 0; y < image->height; ++y) {
    for (int x = 0; x < image->width; ++x) {
      if ((x - cx) * (x - cx) + (y - cy) * (y - cy) > radius * radius) continue;
      for (size_t k = 0; k < 3; ++k) image->at(x, y)[k] = static_cast<uint8_t>(colour[k]);
    }
  }
}

void AddNoise(Image* image, float sigma, uint32_t seed) {
  core::PhiloxStream stream(seed, core::DrawPurpose::kTest, 0, 0);
  for (uint8_t& value : image->pixels) {
    const float v = static_cast<float>(value) + sigma * stream.Normal();
    value = static_cast<uint8_t>(std::min(255.0f, std::max(0.0f, v)));
  }
}

double TissueShare(const Image& mask) {
  double sum = 0;
  for (const uint8_t v : mask.pixels) sum += v != 0;
  return sum / static_cast<double>(mask.pixels.size());
}

constexpr std::array<int, 3> kPink = {225, 150, 190}, kFaint = {236, 214, 228},
                             kGlass = {243, 242, 244}, kBlack = {5, 2, 9};

Image Glass(int size, uint32_t seed = 1) {
  Image image(size, size, 3);
  Disc(&image, 0, 0, 10 * size, kGlass);
  AddNoise(&image, 1.5f, seed);
  return image;
}

TEST(TissueMask, SharesAreExactToFractionsOfPixels) {
  Image mask(4, 4, 1);
  mask.at(1, 1)[0] = 255;
  const TissueMask tissue(mask, 40, 40);  // 10 level-0 px a mask pixel: tissue is 10..20
  EXPECT_DOUBLE_EQ(tissue.Share(10, 10, 10, 10), 1);
  EXPECT_DOUBLE_EQ(tissue.Share(0, 0, 40, 40), 1.0 / 16);
  EXPECT_DOUBLE_EQ(tissue.Share(15, 10, 10, 10), 0.5);
  EXPECT_DOUBLE_EQ(tissue.Share(15, 15, 10, 10), 0.25);
  EXPECT_DOUBLE_EQ(tissue.Share(12, 13, 1, 1), 1);
  EXPECT_DOUBLE_EQ(tissue.Share(20, 20, 20, 20), 0);
  EXPECT_DOUBLE_EQ(tissue.Share(35, 35, 100, 100), 0);  // beyond the slide there is none
  EXPECT_TRUE(tissue.HasTissue());
  EXPECT_FALSE(TissueMask(Image(4, 4, 1), 40, 40).HasTissue());
}

TEST(Otsu, FindsATissueDisc) {
  Image image = Glass(200);
  Disc(&image, 100, 90, 50, kPink);
  AddNoise(&image, 3, 2);
  const Image mask = SegmentTissue(image, 8);
  Image truth(200, 200, 1);
  for (int y = 0; y < 200; ++y) {
    for (int x = 0; x < 200; ++x) {
      truth.at(x, y)[0] = std::hypot(x - 100, y - 90) <= 50;
    }
  }
  double both = 0, either = 0;
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    both += mask.pixels[i] && truth.pixels[i];
    either += mask.pixels[i] || truth.pixels[i];
  }
  EXPECT_GT(both / either, 0.97);
}

TEST(Otsu, FindsFaintTissueBesideStrong) {
  Image image = Glass(200);
  Disc(&image, 60, 60, 35, {200, 90, 150});
  Disc(&image, 140, 140, 35, kFaint);
  AddNoise(&image, 1.5f, 3);
  const Image mask = SegmentTissue(image, 8);
  EXPECT_NE(mask.at(60, 60)[0], 0);
  EXPECT_NE(mask.at(140, 140)[0], 0);
  EXPECT_EQ(mask.at(180, 20)[0], 0);
}

TEST(Otsu, FillsSmallHolesAndKeepsLargeOnes) {
  Image image = Glass(240);
  Disc(&image, 120, 120, 100, kPink);
  Disc(&image, 80, 120, 7, kGlass);    // 7 px at 8 um: 9,900 um2, a lumen
  Disc(&image, 150, 120, 30, kGlass);  // 180,000 um2
  const Image mask = SegmentTissue(image, 8);
  EXPECT_NE(mask.at(80, 120)[0], 0);
  EXPECT_EQ(mask.at(150, 120)[0], 0);
}

TEST(Otsu, DropsSpecks) {
  Image image = Glass(200);
  Disc(&image, 100, 100, 40, kPink);
  Disc(&image, 20, 20, 3, kPink);  // 1,800 um2
  const Image mask = SegmentTissue(image, 8);
  EXPECT_NE(mask.at(100, 100)[0], 0);
  EXPECT_EQ(mask.at(20, 20)[0], 0);
}

TEST(Otsu, DoesNotSplitNoise) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    EXPECT_EQ(TissueShare(SegmentTissue(Glass(150, seed), 8)), 0) << seed;
    Image tinted(150, 150, 3);
    Disc(&tinted, 0, 0, 1000, {244, 240, 228});  // yellowish glass: saturation 17
    AddNoise(&tinted, 2, seed);
    EXPECT_EQ(TissueShare(SegmentTissue(tinted, 8)), 0) << seed;
  }
  EXPECT_EQ(TissueShare(SegmentTissue(Image(150, 150, 3, 255), 8)), 0);
}

TEST(Otsu, TakesAllOfASlideFullOfTissue) {
  Image image(150, 150, 3);
  Disc(&image, 0, 0, 1000, kPink);
  AddNoise(&image, 4, 1);
  EXPECT_EQ(TissueShare(SegmentTissue(image, 8)), 1);
}

TEST(Otsu, IgnoresTheScannersBlack) {
  Image image = Glass(200);
  Disc(&image, 0, 0, 60, kBlack);
  Disc(&image, 130, 130, 40, kPink);
  AddNoise(&image, 2, 5);
  const Image mask = SegmentTissue(image, 8);
  EXPECT_EQ(mask.at(20, 20)[0], 0);
  EXPECT_NE(mask.at(130, 130)[0], 0);
}

TEST(Otsu, TakesPicturesOfAnySize) {
  for (const int size : {1, 2, 3, 5, 9}) SegmentTissue(Image(size, 1, 3, 200), 8);
  for (const int size : {1, 2, 3, 5, 9}) SegmentTissue(Image(1, size, 3, 200), 8);
}

TEST(TissueFile, CoversTheSlideAndKeepsItsShape) {
  TempFolder temp;
  Image mask(50, 100, 1);
  mask.at(0, 0)[0] = 7;
  const core::Bytes png = core::EncodePng(mask);
  core::WriteFileAtomic(temp / "m.png", {reinterpret_cast<const char*>(png.data()), png.size()});
  const TissueMask tissue = ReadTissueMask(temp / "m.png", 5000, 10010);
  EXPECT_DOUBLE_EQ(tissue.Share(0, 0, 100, 100.1), 1);
  EXPECT_DOUBLE_EQ(tissue.Share(100, 0, 100, 100), 0);
  ExpectError([&] { ReadTissueMask(temp / "m.png", 10000, 5000); }, ExitCode::kBadInput,
              "another shape");
  ExpectError([&] { ReadTissueMask(temp / "none.png", 50, 100); }, ExitCode::kBadInput, "none.png");
}

}  // namespace
}  // namespace eosin::tiling
