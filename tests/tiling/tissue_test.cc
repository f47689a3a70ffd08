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

// The default method unless said otherwise; 32 level-0 px a pixel.
Image Segment(const Image& image, double mpp, const std::string& method = "double-pass",
              const TissueSettings& settings = {}) {
  Overview overview;
  overview.image = image;
  overview.scale = 32;
  return SegmentTissue(overview, mpp, method, settings);
}

double Iou(const Image& mask, const Image& truth) {
  double both = 0, either = 0;
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    both += mask.pixels[i] && truth.pixels[i];
    either += mask.pixels[i] || truth.pixels[i];
  }
  return either > 0 ? both / either : 1;
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

TEST(TissueMask, EqualsACountPixelByPixel) {
  core::PhiloxStream draw(5, core::DrawPurpose::kTest, 0, 0);
  for (const auto& [width, height] :
       {std::pair{1, 1}, {7, 9}, {8, 8}, {16, 24}, {37, 61}, {100, 3}}) {
    Image mask(width, height, 1);
    for (uint8_t& value : mask.pixels) value = draw.Bernoulli(0.4f) ? 255 : 0;
    const TissueMask tissue(mask, 1);
    for (int i = 0; i < 200; ++i) {
      const int x0 = static_cast<int>(draw.Below(static_cast<uint32_t>(width)));
      const int y0 = static_cast<int>(draw.Below(static_cast<uint32_t>(height)));
      const int x1 = x0 + 1 + static_cast<int>(draw.Below(static_cast<uint32_t>(width - x0)));
      const int y1 = y0 + 1 + static_cast<int>(draw.Below(static_cast<uint32_t>(height - y0)));
      double count = 0;
      for (int y = y0; y < y1; ++y) {
        for (int x = x0; x < x1; ++x) count += *mask.at(x, y) != 0;
      }
      ASSERT_NEAR(tissue.Share(x0, y0, x1 - x0, y1 - y0), count / ((x1 - x0) * (y1 - y0)), 1e-12);
    }
  }
}

TEST(DoublePass, FindsATissueDisc) {
  Image image = Glass(200);
  Disc(&image, 100, 90, 50, kPink);
  AddNoise(&image, 3, 2);
  const Image mask = Segment(image, 8);
  Image truth(200, 200, 1);
  for (int y = 0; y < 200; ++y) {
    for (int x = 0; x < 200; ++x) {
      truth.at(x, y)[0] = std::hypot(x - 100, y - 90) <= 50;
    }
  }
  EXPECT_GT(Iou(mask, truth), 0.97);
}

TEST(DoublePass, FindsFaintTissueBesideStrong) {
  Image image = Glass(200);
  Disc(&image, 60, 60, 35, {200, 90, 150});
  Disc(&image, 140, 140, 35, kFaint);
  AddNoise(&image, 1.5f, 3);
  const Image mask = Segment(image, 8);
  EXPECT_NE(mask.at(60, 60)[0], 0);
  EXPECT_NE(mask.at(140, 140)[0], 0);
  EXPECT_EQ(mask.at(180, 20)[0], 0);
}

TEST(DoublePass, FillsSmallHolesAndKeepsLargeOnes) {
  Image image = Glass(240);
  Disc(&image, 120, 120, 100, kPink);
  Disc(&image, 80, 120, 7, kGlass);    // 7 px at 8 um: 9,900 um2, a lumen
  Disc(&image, 150, 120, 30, kGlass);  // 180,000 um2
  const Image mask = Segment(image, 8);
  EXPECT_NE(mask.at(80, 120)[0], 0);
  EXPECT_EQ(mask.at(150, 120)[0], 0);
}

TEST(DoublePass, DropsSpecks) {
  Image image = Glass(200);
  Disc(&image, 100, 100, 40, kPink);
  Disc(&image, 20, 20, 3, kPink);  // 1,800 um2
  const Image mask = Segment(image, 8);
  EXPECT_NE(mask.at(100, 100)[0], 0);
  EXPECT_EQ(mask.at(20, 20)[0], 0);
}

TEST(DoublePass, DoesNotSplitNoise) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    EXPECT_EQ(TissueShare(Segment(Glass(150, seed), 8)), 0) << seed;
    Image tinted(150, 150, 3);
    Disc(&tinted, 0, 0, 1000, {244, 240, 228});  // yellowish glass: saturation 17
    AddNoise(&tinted, 2, seed);
    EXPECT_EQ(TissueShare(Segment(tinted, 8)), 0) << seed;
  }
  EXPECT_EQ(TissueShare(Segment(Image(150, 150, 3, 255), 8)), 0);
}

TEST(DoublePass, TakesAllOfASlideFullOfTissue) {
  Image image(150, 150, 3);
  Disc(&image, 0, 0, 1000, kPink);
  AddNoise(&image, 4, 1);
  EXPECT_EQ(TissueShare(Segment(image, 8)), 1);
}

TEST(DoublePass, IgnoresTheScannersBlack) {
  Image image = Glass(200);
  Disc(&image, 0, 0, 60, kBlack);
  Disc(&image, 130, 130, 40, kPink);
  AddNoise(&image, 2, 5);
  const Image mask = Segment(image, 8);
  EXPECT_EQ(mask.at(20, 20)[0], 0);
  EXPECT_NE(mask.at(130, 130)[0], 0);
}

TEST(DoublePass, TakesPicturesOfAnySize) {
  for (const int size : {1, 2, 3, 5, 9}) Segment(Image(size, 1, 3, 200), 8);
  for (const int size : {1, 2, 3, 5, 9}) Segment(Image(1, size, 3, 200), 8);
}

TEST(DoublePass, FindsTheSameOnFourTimesThePixels) {
  // Above 2.5 million pixels it works on smaller ones.
  Image image = Glass(2000);
  Disc(&image, 1000, 900, 500, kPink);
  AddNoise(&image, 2, 6);
  const Image mask = Segment(image, 8);
  ASSERT_EQ(mask.width, 2000);
  EXPECT_NEAR(TissueShare(mask), 3.14159 * 500 * 500 / 4e6, 0.002);
}

TEST(DoublePass, FindsFaintTissueAtAnyScale) {
  for (const double mpp : {0.5, 2.0, 8.0, 16.0}) {
    const int size = mpp < 1 ? 1200 : 300;
    Image image = Glass(size);
    Disc(&image, 0.3 * size, 0.5 * size, 0.2 * size, {200, 90, 150});
    Disc(&image, 0.75 * size, 0.5 * size, 0.2 * size, {239, 229, 236});
    AddNoise(&image, 1, 8);
    const Image mask = Segment(image, mpp);
    EXPECT_NEAR(TissueShare(mask), 2 * 3.14159 * 0.2 * 0.2, 0.03) << mpp;
    EXPECT_NE(mask.at(3 * size / 10, size / 2)[0], 0) << mpp;
    EXPECT_NE(mask.at(3 * size / 4, size / 2)[0], 0) << mpp;
  }
}

TEST(DoublePass, LeavesGlassAtTheEdgeAlone) {
  // A strip of glass far smaller than a hole that is filled.
  Image image = Glass(150);
  for (int y = 0; y < 150; ++y) {
    for (int x = 2; x < 150; ++x) std::copy_n(kPink.begin(), 3, image.at(x, y));
  }
  Disc(&image, 0, 75, 9, kGlass);
  const Image mask = Segment(image, 8);
  EXPECT_EQ(*mask.at(4, 75), kBackground);
  EXPECT_EQ(*mask.at(75, 75), kTissue);
}

TEST(DoublePass, KeepsSpecksAndHolesWhenAsked) {
  Image image = Glass(240);
  Disc(&image, 120, 120, 90, kPink);
  Disc(&image, 90, 120, 9, kGlass);
  Disc(&image, 12, 12, 6, kPink);
  const TissueSettings all = {.min_tissue_um2 = 0, .min_hole_um2 = 0};
  const Image mask = Segment(image, 8, "double-pass", all);
  EXPECT_EQ(mask.at(90, 120)[0], 0);
  EXPECT_NE(mask.at(12, 12)[0], 0);
  EXPECT_NE(Segment(image, 8).at(90, 120)[0], 0);
  EXPECT_NE(Segment(image, 8).at(12, 12)[0], 0);  // 7,200 um2
  EXPECT_EQ(Segment(image, 8, "double-pass", {.min_tissue_um2 = 10000}).at(12, 12)[0], 0);
}

TEST(SegmentTissue, UnknownPatchesTakeWhatIsAroundThem) {
  Overview overview;
  overview.image = Glass(200);
  Disc(&overview.image, 100, 100, 60, kPink);
  overview.scale = 32;
  overview.unknown = Image(200, 200, 1);
  const auto lose = [&](int x0, int y0, int side) {
    for (int y = y0; y < y0 + side; ++y) {
      for (int x = x0; x < x0 + side; ++x) {
        *overview.unknown.at(x, y) = 255;
        for (int k = 0; k < 3; ++k) overview.image.at(x, y)[k] = 255;
      }
    }
  };
  lose(90, 90, 30);  // within the disc
  lose(10, 10, 20);  // on glass
  lose(92, 20, 32);  // mostly on glass, its lower edge in the disc
  for (const char* method : {"double-pass", "otsu", "clam-biopsy"}) {
    const Image mask = SegmentTissue(overview, 8, method);
    EXPECT_EQ(*mask.at(105, 105), kTissue) << method;
    EXPECT_EQ(*mask.at(20, 20), kBackground) << method;
    EXPECT_EQ(*mask.at(105, 30), kBackground) << method;
    EXPECT_EQ(*mask.at(105, 50), kBackground) << method;
  }
}

TEST(SegmentTissue, AllUnknownIsBackground) {
  Overview overview;
  overview.image = Image(30, 20, 3, 255);
  overview.unknown = Image(30, 20, 1, 255);
  overview.scale = 32;
  for (const std::string& method : TissueMethods()) {
    EXPECT_EQ(TissueShare(SegmentTissue(overview, 8, method)), 0) << method;
  }
}

TEST(SegmentTissue, RefusesWhatIsNoMethod) {
  ExpectError([] { Segment(Glass(20), 8, "clam-unknown"); }, ExitCode::kUsage, "is no method");
  ExpectError([] { Segment(Glass(20), 8, ""); }, ExitCode::kUsage, "is no method");
}

TEST(SegmentTissue, EveryMethodTakesPicturesOfAnySize) {
  for (const std::string& method : TissueMethods()) {
    for (const int size : {1, 2, 5, 11}) {
      EXPECT_EQ(Segment(Image(size, 1, 3, 200), 8, method).width, size);
      EXPECT_EQ(Segment(Image(1, size, 3, 200), 8, method).height, size);
    }
  }
}

TEST(TissueSettings, RefusesWhatMakesNoSense) {
  ExpectError([] { TissueSettings{.overview_mpp = 0}.Check(); }, ExitCode::kUsage, "tissue_mpp");
  ExpectError([] { TissueSettings{.min_hole_um2 = -1}.Check(); }, ExitCode::kUsage, "negative");
  TissueSettings{}.Check();
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
