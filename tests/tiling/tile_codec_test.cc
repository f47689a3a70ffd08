// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/tile_codec.h"

#include "core/image/codec.h"
#include "tests/testing.h"
#include "tests/tiling/split_jpeg.h"
#include "tiling/slides/tiff_directory.h"

namespace eosin::tiling {
namespace {

using core::Bytes;
using ::testing::HasSubstr;

// Codes of a width, most significant bit first.
Bytes Pack(const std::vector<std::pair<int, int>>& codes) {
  Bytes out;
  uint64_t buffer = 0;
  int bits = 0;
  for (const auto& [code, width] : codes) {
    buffer = buffer << width | static_cast<uint64_t>(code);
    bits += width;
    for (; bits >= 8; bits -= 8) out.push_back(static_cast<uint8_t>(buffer >> (bits - 8)));
  }
  if (bits > 0) out.push_back(static_cast<uint8_t>(buffer << (8 - bits)));
  return out;
}

std::vector<uint8_t> Unpacked(const Bytes& bytes, size_t size) {
  std::vector<uint8_t> out(size);
  return UnpackLzw(bytes, out) ? out : std::vector<uint8_t>{};
}

TEST(Lzw, UnpacksTheExampleOfTheStandard) {
  // TIFF 6.0, section 13: 7 7 7 8 8 7 7 6 6.
  const Bytes example =
      Pack({{256, 9}, {7, 9}, {258, 9}, {8, 9}, {8, 9}, {258, 9}, {6, 9}, {6, 9}, {257, 9}});
  EXPECT_EQ(Unpacked(example, 9), (std::vector<uint8_t>{7, 7, 7, 8, 8, 7, 7, 6, 6}));
  EXPECT_EQ(Unpacked(example, 6), (std::vector<uint8_t>{}));  // a string goes over the end
  EXPECT_TRUE(Unpacked(example, 10).empty());                 // ends before
  EXPECT_TRUE(Unpacked({}, 1).empty());
  EXPECT_TRUE(Unpacked(Pack({{256, 9}, {258, 9}}), 1).empty());          // not yet defined
  EXPECT_TRUE(Unpacked(Pack({{256, 9}, {7, 9}, {259, 9}}), 3).empty());  // two ahead
  EXPECT_TRUE(Unpacked(Pack({{256, 9}, {7, 9}, {256, 9}, {258, 9}}), 3).empty());  // cleared
}

TEST(Lzw, GrowsItsCodesOneEarly) {
  // 254 literals define 258..510: the next code has 10 bits.
  std::vector<std::pair<int, int>> codes = {{256, 9}};
  std::vector<uint8_t> expected;
  for (int i = 0; i < 254; ++i) {
    codes.push_back({i, 9});
    expected.push_back(static_cast<uint8_t>(i));
  }
  codes.push_back({258, 10});  // 0 1
  expected.insert(expected.end(), {0, 1});
  EXPECT_EQ(Unpacked(Pack(codes), expected.size()), expected);
}

TileFormat Format(uint16_t compression, uint16_t predictor, int samples, int width, int height) {
  TileFormat format;
  format.compression = compression;
  format.predictor = predictor;
  format.samples = samples;
  format.width = width;
  format.height = height;
  return format;
}

TEST(TileCodec, UndoesPredictionAndPaintsGrey) {
  std::string error;
  std::vector<uint8_t> out(2 * 6 + 4, 99);
  TileCodec predicted(Format(kTiffNone, 2, 3, 2, 1));
  ASSERT_TRUE(predicted.Decode(Bytes{10, 20, 250, 1, 255, 10}, 1, out.data(), 6, &error)) << error;
  EXPECT_THAT(std::vector<uint8_t>(out.begin(), out.begin() + 7),
              ::testing::ElementsAre(10, 20, 250, 11, 19, 4, 99));
  TileCodec grey(Format(kTiffNone, 1, 1, 2, 2));
  ASSERT_TRUE(grey.Decode(Bytes{1, 2, 3, 4}, 1, out.data(), 8, &error)) << error;  // wide rows
  EXPECT_THAT(std::vector<uint8_t>(out.begin(), out.begin() + 14),
              ::testing::ElementsAre(1, 1, 1, 2, 2, 2, 99, ::testing::_, 3, 3, 3, 4, 4, 4));
  ASSERT_TRUE(grey.Decode(Bytes{1, 2, 3, 4}, 2, out.data(), 3, &error));
  EXPECT_EQ(out[0], 3);  // 2.5 rounds up
  EXPECT_FALSE(grey.Decode(Bytes{1, 2, 3}, 1, out.data(), 6, &error));
  EXPECT_EQ(error, "3 bytes instead of 4");
  EXPECT_FALSE(grey.Decode(Bytes{1, 2, 3, 4}, 4, out.data(), 6, &error));
  EXPECT_THAT(error, HasSubstr("cannot be shrunk by 4"));
  EXPECT_FALSE(grey.Decode(Bytes{1, 2, 3, 4}, 3, out.data(), 6, nullptr));
  TileCodec deflate(Format(kTiffDeflate, 1, 1, 2, 2));
  EXPECT_FALSE(deflate.Decode(Bytes{1, 2, 3, 4}, 1, out.data(), 6, &error));
  EXPECT_THAT(error, HasSubstr("deflate"));
}

TEST(JpegDecoder, CanAskLibjpegWhatIsLeftOver) { EXPECT_TRUE(JpegDecoder::SeesLeftover()); }

// A tile that brings tables must not lend them to the next one.
TEST(JpegDecoder, TablesDoNotLeakFromTileToTile) {
  core::Image image(16, 16, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 37);
  const Bytes whole = core::EncodeJpeg(image, 90, core::Subsampling::k444);
  const Bytes coarse = core::EncodeJpeg(image, 20, core::Subsampling::k444);
  const auto split = eosin::testing::Split(coarse, false);
  std::string error;
  JpegDecoder none({}, JpegColour::kYCbCr, 16, 16);
  core::Image out(16, 16, 3);
  ASSERT_TRUE(none.Decode(whole, 1, out.pixels.data(), 48, &error)) << error;
  EXPECT_EQ(out.pixels, core::DecodeRgb(whole, "whole").pixels);
  EXPECT_FALSE(none.Decode(split.tile, 1, out.pixels.data(), 48, &error));
  EXPECT_THAT(error, HasSubstr("tables are missing"));
  // With shared tables, a tile between that has its own changes nothing.
  JpegTables shared;
  ASSERT_TRUE(ParseJpegTables(split.tables, &shared, &error)) << error;
  JpegDecoder decoder(shared, JpegColour::kYCbCr, 16, 16);
  const core::Image expected = core::DecodeRgb(coarse, "coarse");
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(decoder.Decode(split.tile, 1, out.pixels.data(), 48, &error)) << error;
    EXPECT_EQ(out.pixels, expected.pixels);
    ASSERT_TRUE(decoder.Decode(whole, 1, out.pixels.data(), 48, &error)) << error;
    EXPECT_NE(out.pixels, expected.pixels);
  }
}

TEST(JpegDecoder, SeesBytesLeftOverAndMissing) {
  core::Image image(64, 64, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<uint8_t>(i * i / 7);
  const Bytes whole = core::EncodeJpeg(image, 90, core::Subsampling::k444);
  JpegDecoder decoder({}, JpegColour::kYCbCr, 64, 64);
  std::string error;
  ASSERT_TRUE(decoder.Decode(whole, 1, image.pixels.data(), 192, &error)) << error;
  for (size_t count = 1; count < 40; ++count) {
    Bytes more = whole, less = whole;
    more.insert(more.end() - 2, count, 0x55);
    EXPECT_FALSE(decoder.Decode(more, 1, image.pixels.data(), 192, &error)) << count;
    less.erase(less.end() - 2 - static_cast<ptrdiff_t>(count), less.end() - 2);
    EXPECT_FALSE(decoder.Decode(less, 1, image.pixels.data(), 192, &error)) << count;
    less.resize(whole.size() - count);
    EXPECT_FALSE(decoder.Decode(less, 1, image.pixels.data(), 192, &error)) << count;
  }
  EXPECT_TRUE(decoder.Decode(whole, 1, image.pixels.data(), 192, &error)) << error;
}

}  // namespace
}  // namespace eosin::tiling
