// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/jpeg_stream.h"

#include <algorithm>

#include "core/base/philox.h"
#include "tests/testing.h"
#include "tests/tiling/split_jpeg.h"

namespace eosin::tiling {
namespace {

using core::Bytes;
using core::Image;
using eosin::testing::Split;
using eosin::testing::SplitJpeg;
using ::testing::HasSubstr;

Image Picture(int width, int height) {
  Image image(width, height, 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.at(x, y)[0] = static_cast<uint8_t>(7 * x + 3 * y);
      image.at(x, y)[1] = static_cast<uint8_t>((x * x + 5 * y) / 3);
      image.at(x, y)[2] = static_cast<uint8_t>(200 - x + y);
    }
  }
  return image;
}

JpegTables Tables(const Bytes& bytes) {
  JpegTables tables;
  std::string error;
  EXPECT_TRUE(ParseJpegTables(bytes, &tables, &error)) << error;
  return tables;
}

// A stored tile made to stand alone behind two bytes that must not be touched.
Bytes Wrap(const JpegWrapper& wrapper, const Bytes& tile, std::string* error) {
  Bytes out = {1, 2};
  out.resize(2 + wrapper.room());
  out.insert(out.end(), tile.begin(), tile.end());
  const bool good = wrapper.Wrap(&out, 2, error);
  EXPECT_EQ(out[0], 1);
  EXPECT_EQ(out[1], 2);
  EXPECT_EQ(good, out.size() > 2);
  out.erase(out.begin(), out.begin() + 2);
  return out;
}

TEST(JpegHeader, ReadsFramesAndScans) {
  const Bytes jpeg = core::EncodeJpeg(Picture(40, 24), 90);  // 4:2:0, JFIF
  JpegHeader h;
  std::string error;
  ASSERT_TRUE(ParseJpegHeader(jpeg, &h, &error)) << error;
  EXPECT_EQ(h.width, 40);
  EXPECT_EQ(h.height, 24);
  EXPECT_EQ(h.frame, 0xC0);
  EXPECT_EQ(h.components, 3);
  EXPECT_EQ(h.component[0].horizontal, 2);
  EXPECT_EQ(h.component[0].vertical, 2);
  EXPECT_EQ(h.component[1].horizontal, 1);
  EXPECT_EQ(h.scan_components, 3);
  EXPECT_TRUE(h.jfif);
  EXPECT_FALSE(h.adobe);
  EXPECT_TRUE(h.sequential());
  EXPECT_EQ(h.mcus(), 3 * 2);
  EXPECT_EQ(h.quant_tables, 3);
  EXPECT_EQ(h.dc_tables, 3);
  EXPECT_EQ(h.Guess(), JpegColour::kYCbCr);
  size_t end = 0;
  EXPECT_TRUE(CheckScan(jpeg, h, &end, &error)) << error;
  EXPECT_EQ(end, jpeg.size());
}

TEST(JpegHeader, GuessesColoursAsLibjpegDoes) {
  JpegHeader h;
  h.components = 3;
  h.component[0].id = 1;
  EXPECT_EQ(h.Guess(), JpegColour::kYCbCr);
  h.component[0].id = 'R', h.component[1].id = 'G', h.component[2].id = 'B';
  EXPECT_EQ(h.Guess(), JpegColour::kRgb);
  h.adobe = true, h.adobe_transform = 1;
  EXPECT_EQ(h.Guess(), JpegColour::kYCbCr);
  h.adobe_transform = 0;
  EXPECT_EQ(h.Guess(), JpegColour::kRgb);
  h.jfif = true;
  EXPECT_EQ(h.Guess(), JpegColour::kYCbCr);
  h.components = 1;
  EXPECT_EQ(h.Guess(), JpegColour::kGrey);
}

TEST(JpegWrapper, MergesTablesWithinItsBudget) {
  const Bytes whole = core::EncodeJpeg(Picture(48, 48), 80, core::Subsampling::k444);
  const SplitJpeg split = Split(whole, false);
  const JpegTables tables = Tables(split.tables);
  EXPECT_EQ(tables.segments.size(), split.tables.size() - 4);
  const JpegWrapper wrapper(tables, JpegColour::kYCbCr, 48, 48);
  std::string error;
  const Bytes merged = Wrap(wrapper, split.tile, &error);
  EXPECT_EQ(error, "");
  EXPECT_EQ(merged.size(), split.tile.size() + split.tables.size() - 4);
  EXPECT_EQ(core::DecodeRgb(merged, "merged").pixels, core::DecodeRgb(whole, "whole").pixels);
  // RGB: 16 bytes of APP14 more, and the samples come out as they are.
  const JpegWrapper rgb(tables, JpegColour::kRgb, 48, 48);
  const Bytes untransformed = Wrap(rgb, split.tile, &error);
  EXPECT_EQ(untransformed.size(), merged.size() + 16);
  const Image samples = core::DecodeRgb(untransformed, "rgb");
  const Image pixels = core::DecodeRgb(merged, "merged");
  EXPECT_NE(samples.pixels, pixels.pixels);
  const double luma =
      0.299 * pixels.at(20, 20)[0] + 0.587 * pixels.at(20, 20)[1] + 0.114 * pixels.at(20, 20)[2];
  EXPECT_NEAR(samples.at(20, 20)[0], luma, 2);
}

TEST(JpegWrapper, TheTiffsColourOverrulesTheStreams) {
  const Bytes whole = core::EncodeJpeg(Picture(48, 48), 80, core::Subsampling::k444);
  const SplitJpeg plain = Split(whole, false), jfif = Split(whole, true);
  std::string error;
  const JpegWrapper rgb(Tables(plain.tables), JpegColour::kRgb, 48, 48);
  const Bytes expected = Wrap(rgb, plain.tile, &error);
  const Bytes recoloured = Wrap(rgb, jfif.tile, &error);
  ASSERT_FALSE(recoloured.empty()) << error;
  EXPECT_EQ(core::DecodeRgb(recoloured, "a").pixels, core::DecodeRgb(expected, "b").pixels);
  // And the other way: an RGB marker in a tile that the TIFF calls YCbCr.
  const JpegWrapper ycbcr({}, JpegColour::kYCbCr, 48, 48);
  const Bytes again = Wrap(ycbcr, expected, &error);
  ASSERT_FALSE(again.empty()) << error;
  EXPECT_EQ(core::DecodeRgb(again, "c").pixels, core::DecodeRgb(whole, "d").pixels);
}

// One pass takes them all out: a tile may hold a million.
TEST(JpegWrapper, TakesOutAnyNumberOfColourMarkers) {
  const Bytes whole = core::EncodeJpeg(Picture(48, 48), 80, core::Subsampling::k444);
  const SplitJpeg plain = Split(whole, false);
  const JpegWrapper rgb(Tables(plain.tables), JpegColour::kRgb, 48, 48);
  const Bytes adobe = {0xFF, 0xEE, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 1};
  const Bytes jfif = {0xFF, 0xE0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0};
  const Bytes comment = {0xFF, 0xFE, 0, 4, 'o', 'k'};
  Bytes markers;
  for (int i = 0; i < 100000; ++i) {
    const Bytes& next = i % 2 ? jfif : adobe;
    markers.insert(markers.end(), next.begin(), next.end());
    if (i == 50000) markers.insert(markers.end(), comment.begin(), comment.end());
  }
  Bytes tile = plain.tile;
  tile.insert(tile.begin() + 2, markers.begin(), markers.end());
  std::string error;
  const Bytes got = Wrap(rgb, tile, &error);
  ASSERT_FALSE(got.empty()) << error;
  // Our marker, the tables, what is no colour marker.
  const Bytes expected = Wrap(rgb, plain.tile, &error);
  EXPECT_EQ(got.size(), expected.size() + comment.size());
  JpegHeader header;
  ASSERT_TRUE(ParseJpegHeader(got, &header, &error)) << error;
  EXPECT_FALSE(header.jfif);
  EXPECT_EQ(header.Guess(), JpegColour::kRgb);
  EXPECT_EQ(core::DecodeRgb(got, "a").pixels, core::DecodeRgb(expected, "b").pixels);
}

TEST(JpegWrapper, NamesWhatIsWrong) {
  const Bytes whole = core::EncodeJpeg(Picture(48, 48), 80, core::Subsampling::k444);
  const SplitJpeg split = Split(whole, false);
  const JpegWrapper alone({}, JpegColour::kYCbCr, 48, 48);
  const auto why = [&](const JpegWrapper& wrapper, const Bytes& tile) {
    std::string error;
    EXPECT_TRUE(Wrap(wrapper, tile, &error).empty());
    return error;
  };
  EXPECT_THAT(why(alone, split.tile), HasSubstr("tables are missing"));
  EXPECT_THAT(why(JpegWrapper({}, JpegColour::kYCbCr, 64, 48), whole), HasSubstr("48 x 48 px"));
  EXPECT_THAT(why(JpegWrapper({}, JpegColour::kGrey, 48, 48), whole), HasSubstr("3 components"));
  EXPECT_THAT(why(alone, {}), HasSubstr("does not start"));
  EXPECT_THAT(why(alone, {0xFF, 0xD8, 0xFF, 0xD9}), HasSubstr("ends before"));

  Bytes cut(whole.begin(), whole.end() - 2);
  EXPECT_THAT(why(alone, cut), HasSubstr("has no end"));
  Bytes padded = whole;
  padded.resize(padded.size() + 7);  // zeros are padding, and left out
  std::string error;
  EXPECT_EQ(Wrap(alone, padded, &error), whole);
  padded.back() = 1;
  EXPECT_THAT(why(alone, padded), HasSubstr("data follows"));

  JpegHeader h;
  ASSERT_TRUE(ParseJpegHeader(whole, &h, &error));
  Bytes marked = whole;
  marked[h.scan + 20] = 0xFF;
  marked[h.scan + 21] = 0xD0;
  EXPECT_THAT(why(alone, marked), HasSubstr("marker d0 within its data"));
  Bytes progressive = whole;
  const Bytes marker = {0xFF, 0xC0};
  const auto sof =
      std::search(progressive.begin(), progressive.end(), marker.begin(), marker.end());
  sof[1] = 0xC2;
  EXPECT_THAT(why(alone, progressive), HasSubstr("several scans"));
  sof[1] = 0xC9;
  EXPECT_THAT(why(alone, progressive), HasSubstr("coding c9"));
}

TEST(CheckScan, CountsRestarts) {
  // 32 x 8 grey, an interval of 2 blocks: one restart marker, RST0.
  JpegHeader h;
  h.frame = 0xC0;
  h.width = 32;
  h.height = 8;
  h.components = h.scan_components = 1;
  h.restart_interval = 2;
  std::string error;
  size_t end = 0;
  const auto check = [&](const Bytes& bytes) { return CheckScan(bytes, h, &end, &error); };
  EXPECT_TRUE(check({1, 2, 0xFF, 0xD0, 3, 0xFF, 0, 0xFF, 0xFF, 0xD9}));
  EXPECT_EQ(end, 10u);
  EXPECT_FALSE(check({1, 2, 0xFF, 0xD1, 3, 0xFF, 0xD9}));
  EXPECT_FALSE(check({1, 2, 0xFF, 0xD9}));
  EXPECT_THAT(error, HasSubstr("too early"));
  EXPECT_FALSE(check({1, 0xFF, 0xD0, 2, 0xFF, 0xD1, 3, 0xFF, 0xD9}));
  EXPECT_FALSE(check({1, 2, 0xFF}));
  EXPECT_FALSE(check({}));
}

// Any bytes: true or false with a reason, and what passes as a JPEG of the right size is one.
TEST(JpegStream, SurvivesRandomDamage) {
  const Bytes whole = core::EncodeJpeg(Picture(32, 32), 80);
  const JpegWrapper wrapper({}, JpegColour::kYCbCr, 32, 32);
  int passed = 0;
  for (uint32_t seed = 0; seed < 5000; ++seed) {
    core::PhiloxStream random(3, core::DrawPurpose::kTest, 0, seed);
    Bytes bytes = whole;
    for (uint32_t i = 0; i <= seed % 4; ++i) {
      bytes[random.Next() % bytes.size()] = static_cast<uint8_t>(random.Next());
    }
    if (seed % 5 == 0) bytes.resize(random.Next() % bytes.size());
    std::string error;
    JpegTables tables;
    ParseJpegTables(bytes, &tables, &error);
    const Bytes wrapped = Wrap(wrapper, bytes, &error);
    if (wrapped.empty()) {
      EXPECT_FALSE(error.empty());
      continue;
    }
    ++passed;
    JpegHeader header;
    ASSERT_TRUE(ParseJpegHeader(wrapped, &header, &error)) << error;
    EXPECT_EQ(header.width, 32);
    EXPECT_EQ(header.height, 32);
  }
  EXPECT_GT(passed, 500);
}

}  // namespace
}  // namespace eosin::tiling
