// SPDX-License-Identifier: Apache-2.0
#include "core/image/resample.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/philox.h"
#include "core/image/codec.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

Image Line(std::vector<uint8_t> values) {
  Image image(static_cast<int>(values.size()), 1, 1);
  image.pixels = std::move(values);
  return image;
}

TEST(Resample, HandComputedLines) {
  // Halving two pixels: support 2, both at distance 0.5 of the centre.
  EXPECT_EQ(Resize(Line({0, 100}), 1, 1).pixels, (std::vector<uint8_t>{50}));
  // Doubling: outputs at .25, .75, 1.25, 1.75; ends hold the edge pixel alone.
  EXPECT_EQ(Resize(Line({0, 100}), 4, 1).pixels, (std::vector<uint8_t>{0, 25, 75, 100}));
  // Halving four: weights .75 .75 .25 over 1.75; 100 * .25 / 1.75 = 14.3.
  EXPECT_EQ(Resize(Line({0, 0, 100, 100}), 2, 1).pixels, (std::vector<uint8_t>{14, 86}));
}

TEST(Resample, SameSizeCopies) {
  Image image(17, 9, 3);
  PhiloxStream draw(1, DrawPurpose::kTest, 0, 0);
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(draw.Below(256));
  EXPECT_EQ(Resize(image, 17, 9).pixels, image.pixels);
}

TEST(Resample, BoxEqualsCropThenResize) {
  Image image(30, 20, 3);
  PhiloxStream draw(2, DrawPurpose::kTest, 0, 0);
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(draw.Below(256));
  Image crop(11, 8, 3);
  for (int y = 0; y < 8; ++y) {
    std::copy_n(image.at(5, 7 + y), crop.stride(), crop.row(y));
  }
  for (const auto& [w, h] : {std::pair{4, 3}, {25, 30}, {11, 4}}) {
    EXPECT_EQ(ResizeBox(image, {5, 7, 11, 8}, w, h).pixels, Resize(crop, w, h).pixels);
  }
}

TEST(Resample, WeightsSumToOneInsideTheAxis) {
  PhiloxStream draw(3, DrawPurpose::kTest, 0, 0);
  for (int trial = 0; trial < 200; ++trial) {
    const int input = 1 + static_cast<int>(draw.Below(300));
    const double begin = draw.Uniform() * (input - 1);
    const double length = (input - begin) * (0.05 + 0.95 * draw.Uniform());
    const int output = 1 + static_cast<int>(draw.Below(200));
    ResampleTaps taps;
    ComputeTaps(input, begin, length, output, &taps);
    for (int i = 0; i < output; ++i) {
      double sum = 0;
      for (int k = 0; k < taps.count; ++k) sum += taps.weight(k, i);
      ASSERT_NEAR(sum, 1, 1e-5);
      ASSERT_GE(taps.start[i], static_cast<int>(begin));
      ASSERT_LE(taps.start[i] + taps.count, std::ceil(begin + length));
      if (i > 0) {
        ASSERT_GE(taps.start[i], taps.start[i - 1]);
      }
    }
  }
}

// Twice as large: offsets of a quarter of a pixel; Keys' cubic at 0.25, 0.75, 1.25, 1.75.
TEST(Resample, CubicWeightsByHand) {
  ResampleTaps taps;
  ComputeTaps(8, 0, 8, 16, &taps, Filter::kBicubic);
  const double wanted[4] = {-0.0234375, 0.2265625, 0.8671875, -0.0703125};
  for (int input = 0; input < 8; ++input) {  // output 6 lies at 3.25, pixel centres at n + 0.5
    const int k = input - taps.start[6];
    const double weight = k >= 0 && k < taps.count ? double{taps.weight(k, 6)} : 0.0;
    const bool inside = input >= 1 && input <= 4;
    EXPECT_NEAR(weight, inside ? wanted[input - 1] : 0, 1e-7) << input;
  }
  ComputeTaps(8, 0, 8, 8, &taps, Filter::kBicubic);  // the same size: a copy
  for (int i = 0; i < 8; ++i) {
    for (int k = 0; k < taps.count; ++k) {
      EXPECT_EQ(taps.weight(k, i), taps.start[i] + k == i ? 1.0f : 0.0f);
    }
  }
  for (const int output : {1, 3, 5, 19}) {
    ComputeTaps(11, 1.5, 8.25, output, &taps, Filter::kBicubic);
    for (int i = 0; i < output; ++i) {
      double sum = 0;
      for (int k = 0; k < taps.count; ++k) sum += double{taps.weight(k, i)};
      EXPECT_NEAR(sum, 1, 1e-5);
      EXPECT_GE(taps.start[i], 1);
      EXPECT_LE(taps.start[i] + taps.count, 10);
    }
  }
}

TEST(Resample, EqualsPillow) {
  const auto folder = testing::FixtureFolder() / "views";
  std::ifstream file(folder / "views.json");
  const nlohmann::json manifest = nlohmann::json::parse(file);
  const Image source = ReadRgb(folder / "source.png");
  for (const auto& item : manifest.at("resize")) {
    const Image expected = ReadRgb(folder / item.at("file").get<std::string>());
    const Image got = Resize(source, item.at("width"), item.at("height"));
    ASSERT_EQ(got.pixels.size(), expected.pixels.size());
    int worst = 0;
    for (size_t i = 0; i < got.pixels.size(); ++i) {
      worst = std::max(worst, std::abs(got.pixels[i] - expected.pixels[i]));
    }
    EXPECT_LE(worst, 1) << item.at("file");
  }
}

TEST(Resample, ThumbnailKeepsRatioAndNeverEnlarges) {
  const Image wide = Thumbnail(Image(200, 100, 3, 9), 50);
  EXPECT_EQ(wide.width, 50);
  EXPECT_EQ(wide.height, 25);
  EXPECT_EQ(Thumbnail(Image(20, 10, 3, 9), 50).width, 20);
  EXPECT_EQ(Thumbnail(Image(5000, 1, 3, 9), 50).height, 1);
}

TEST(Resample, RefusesNonsense) {
  const Image image(10, 10, 3);
  testing::ExpectError([&] { Resize(image, 0, 5); }, ExitCode::kUsage, "cannot resample");
  testing::ExpectError([&] { Resize(Image(), 5, 5); }, ExitCode::kUsage, "empty image");
  testing::ExpectError([&] { ResizeBox(image, {5, 0, 6, 5}, 4, 4); }, ExitCode::kUsage,
                       "an axis of 10 pixels");
}

}  // namespace
}  // namespace eosin::core
