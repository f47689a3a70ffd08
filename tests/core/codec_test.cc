// SPDX-License-Identifier: Apache-2.0
#include "core/image/codec.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using eosin::testing::ExpectError;

Image Gradient(int w, int h, int channels) {
  Image image(w, h, channels);
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.at(x, y)[c] = static_cast<uint8_t>((x * 2 + y + 40 * c) & 255);
      }
    }
  }
  return image;
}

TEST(Png, RoundTripIsExact) {
  for (int channels : {1, 3}) {
    const Image image = Gradient(37, 21, channels);
    const Bytes png = EncodePng(image);
    EXPECT_TRUE(IsPng(png));
    const Image back = channels == 3 ? DecodeRgb(png, "x") : DecodeMask(png, "x");
    EXPECT_EQ(back.width, 37);
    EXPECT_EQ(back.height, 21);
    EXPECT_EQ(back.pixels, image.pixels);
  }
}

TEST(Jpeg, RoundTripIsClose) {
  Image image(64, 48, 3, 200);
  const Bytes jpeg = EncodeJpeg(image, 95, Subsampling::k444);
  EXPECT_TRUE(IsJpeg(jpeg));
  const Image back = DecodeRgb(jpeg, "x");
  ASSERT_EQ(back.pixels.size(), image.pixels.size());
  for (size_t i = 0; i < back.pixels.size(); ++i) EXPECT_NEAR(back.pixels[i], 200, 1);
  int w = 0, h = 0;
  ImageSize(jpeg, "x", &w, &h);
  EXPECT_EQ(w, 64);
  EXPECT_EQ(h, 48);
}

TEST(Decode, DamageIsReportedWithTheSource) {
  Bytes jpeg = EncodeJpeg(Gradient(128, 128, 3), 90);
  Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<long>(jpeg.size() / 2));
  ExpectError([&] { DecodeRgb(cut, "tile 7"); }, ExitCode::kBadInput, "tile 7");
  Bytes png = EncodePng(Gradient(64, 64, 3));
  png.resize(png.size() / 2);
  ExpectError([&] { DecodeRgb(png, "p.png"); }, ExitCode::kBadInput, "p.png");
  ExpectError([&] { DecodeRgb(Bytes{1, 2, 3}, "t"); }, ExitCode::kBadInput, "neither JPEG nor PNG");
  ExpectError([&] { DecodeMask(jpeg, "m.jpg"); }, ExitCode::kBadInput, "is a JPEG");
  ExpectError([&] { DecodeMask(EncodePng(Gradient(8, 8, 3)), "m.png"); }, ExitCode::kBadInput,
              "colour picture");
}

TEST(Mask, SixteenBits) {
  Mask16 mask{3, 2, {0, 1, 255, 256, 300, 65535}};
  const Bytes png = EncodePng16(mask);
  EXPECT_EQ(DecodeMask16(png, "m").pixels, mask.pixels);
  EXPECT_EQ(DecodeMask16(png, "m").width, 3);
  ExpectError([&] { DecodeMask(png, "m.png"); }, ExitCode::kBadInput, "m.png holds the value 256");
  mask.pixels = {0, 1, 2, 3, 4, 255};
  EXPECT_THAT(DecodeMask(EncodePng16(mask), "m").pixels,
              ::testing::ElementsAre(0, 1, 2, 3, 4, 255));
}

// tests/parity/make_segmentation_fixtures.py: Pillow's files of 16 bits, palette and 2 bits.
TEST(Mask, FilesOfPillow) {
  const auto path = eosin::testing::FixtureFolder() / "segmentation" / "mask_files.json";
  const auto files = nlohmann::json::parse(ReadFile(path));
  for (const auto& [name, file] : files.items()) {
    const Mask16 mask = DecodeMask16(file.at("bytes").get<Bytes>(), name);
    EXPECT_EQ(mask.height, file.at("shape").at(0).get<int>()) << name;
    EXPECT_EQ(mask.pixels, file.at("values").get<std::vector<uint16_t>>()) << name;
  }
}

TEST(Mask, RealInstanceMasksKeepTheirNumbers) {
  const auto mask_path = eosin::testing::DataFolder() / "glas/masks/train_1.png";
  EOSIN_REQUIRE_DATA(mask_path);
  const Image mask = ReadMask(mask_path);
  EXPECT_EQ(mask.width, 775);
  EXPECT_EQ(mask.height, 522);
  uint8_t top = 0;
  for (uint8_t v : mask.pixels) top = std::max(top, v);
  EXPECT_GT(top, 0);
  EXPECT_LT(top, 60);
}

}  // namespace
}  // namespace eosin::core
