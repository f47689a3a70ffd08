// SPDX-License-Identifier: Apache-2.0
#include "core/image/mosaic.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/philox.h"
#include "core/image/codec.h"
#include "core/image/mosaic_kernels.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

// A picture cut into tiles; what they hold beyond its edge is noise that must not show.
struct CutPicture {
  CutPicture(const Image& picture, int tile_width, int tile_height) {
    mosaic.tile_width = tile_width;
    mosaic.tile_height = tile_height;
    mosaic.width = picture.width;
    mosaic.height = picture.height;
    mosaic.columns = (picture.width + tile_width - 1) / tile_width;
    mosaic.rows = (picture.height + tile_height - 1) / tile_height;
    for (int row = 0; row < mosaic.rows; ++row) {
      for (int column = 0; column < mosaic.columns; ++column) {
        Image tile(tile_width, tile_height, 3, (row + column) % 2 ? 255 : 0);
        for (int y = 0; y < tile_height && row * tile_height + y < picture.height; ++y) {
          const int length = std::min(tile_width, picture.width - column * tile_width);
          std::copy_n(picture.at(column * tile_width, row * tile_height + y), 3 * length,
                      tile.row(y));
        }
        tiles.push_back(std::move(tile));
      }
    }
    for (const Image& tile : tiles) pointers.push_back(tile.pixels.data());
    mosaic.tiles = pointers.data();
  }
  Mosaic mosaic;
  std::vector<Image> tiles;
  std::vector<const uint8_t*> pointers;
};

Image Noise(int width, int height, uint32_t seed) {
  Image image(width, height, 3);
  PhiloxStream draw(seed, DrawPurpose::kTest, 0, 0);
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(draw.Below(256));
  return image;
}

Image Resampled(const Mosaic& mosaic, double ratio, int outputs, double x, double y) {
  Image out;
  MosaicResampler(ratio, outputs).Run(mosaic, x, y, &out);
  return out;
}

// The filter as its definition reads: every pixel of the picture weighed in double.
double Exact(const Image& picture, double ratio, double x, double y, int i, int j, int c) {
  double sum = 0, total = 0;
  const double cx = x + (i + 0.5) * ratio, cy = y + (j + 0.5) * ratio;
  for (int v = std::max(0, int(cy - ratio) - 1); v < std::min(picture.height, int(cy + ratio) + 2);
       ++v) {
    for (int u = std::max(0, int(cx - ratio) - 1); u < std::min(picture.width, int(cx + ratio) + 2);
         ++u) {
      const double weight = std::max(0.0, 1 - std::abs(u + 0.5 - cx) / ratio) *
                            std::max(0.0, 1 - std::abs(v + 0.5 - cy) / ratio);
      sum += weight * picture.at(u, v)[c];
      total += weight;
    }
  }
  return sum / total;
}

TEST(Mosaic, CopiesWindowsAcrossTilesAndWhiteBeyond) {
  const Image picture = Noise(50, 40, 1);
  const CutPicture cut(picture, 16, 12);
  PhiloxStream draw(2, DrawPurpose::kTest, 0, 0);
  for (int trial = 0; trial < 200; ++trial) {
    const int x = static_cast<int>(draw.Below(70)) - 10, y = static_cast<int>(draw.Below(60)) - 10;
    Image out(1 + static_cast<int>(draw.Below(30)), 1 + static_cast<int>(draw.Below(30)), 3);
    CopyWindow(cut.mosaic, x, y, &out);
    for (int r = 0; r < out.height; ++r) {
      for (int c = 0; c < out.width; ++c) {
        const bool inside = x + c >= 0 && y + r >= 0 && x + c < 50 && y + r < 40;
        ASSERT_EQ(out.at(c, r)[1], inside ? picture.at(x + c, y + r)[1] : 255);
      }
    }
  }
}

TEST(Mosaic, HandComputedHalf) {
  // Ratio 2 from pixel 2 on: centre 3, weights 1/8 3/8 3/8 1/8 on pixels 1 to 4.
  Image picture(8, 8, 3);
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) picture.at(x, y)[0] = static_cast<uint8_t>(x == 1 ? 80 : x * 10);
  }
  const CutPicture cut(picture, 8, 8);
  const Image out = Resampled(cut.mosaic, 2, 1, 2, 2);
  EXPECT_EQ(out.at(0, 0)[0], 34);  // 80/8 + 20*3/8 + 30*3/8 + 40/8 = 33.75
  // At the left edge pixel -1 is missing: weights 3/7 3/7 1/7 on pixels 0 to 2.
  EXPECT_EQ(Resampled(cut.mosaic, 2, 1, 0, 2).at(0, 0)[0], 37);  // 80*3/7 + 20/7 = 37.14
}

TEST(Mosaic, EqualsPillow) {
  const auto folder = testing::FixtureFolder() / "mosaic";
  std::ifstream file(folder / "mosaic.json");
  const nlohmann::json manifest = nlohmann::json::parse(file);
  const Image source = ReadRgb(folder / "source.png");
  const CutPicture cut(source, 32, 25);
  for (const auto& item : manifest.at("windows")) {
    const Image expected = ReadRgb(folder / item.at("file").get<std::string>());
    const int outputs = item.at("outputs");
    const double ratio = item.at("side").get<double>() / outputs;
    int row = 0, worst = 0;
    for (const auto& place : item.at("places")) {
      const Image got = Resampled(cut.mosaic, ratio, outputs, place[0], place[1]);
      for (int y = 0; y < outputs; ++y, ++row) {
        for (int v = 0; v < 3 * outputs; ++v) {
          worst = std::max(worst, std::abs(got.row(y)[v] - expected.row(row)[v]));
        }
      }
    }
    EXPECT_EQ(row, expected.height);
    EXPECT_LE(worst, ratio < 1 ? 0 : 1) << item.at("file");  // enlarging is the same arithmetic
  }
}

TEST(Mosaic, StaysWithinRoundingOfTheDefinition) {
  PhiloxStream draw(3, DrawPurpose::kTest, 0, 0);
  for (int trial = 0; trial < 60; ++trial) {
    const Image picture = Noise(60 + static_cast<int>(draw.Below(90)),
                                60 + static_cast<int>(draw.Below(90)), 100 + trial);
    const CutPicture cut(picture, 8 + static_cast<int>(draw.Below(60)),
                         8 + static_cast<int>(draw.Below(60)));
    const double ratio = 1 + 6 * double(draw.Uniform()) * double(draw.Uniform());
    const int room = static_cast<int>(std::min(picture.width, picture.height) / ratio);
    const int outputs = 1 + static_cast<int>(draw.Below(static_cast<uint32_t>(room)));
    const double x = (picture.width - ratio * outputs) * double(draw.Uniform());
    const double y = (picture.height - ratio * outputs) * double(draw.Uniform());
    const Image out = Resampled(cut.mosaic, ratio, outputs, x, y);
    for (int j = 0; j < outputs; ++j) {
      for (int i = 0; i < outputs; ++i) {
        for (int c = 0; c < 3; ++c) {
          ASSERT_NEAR(out.at(i, j)[c], Exact(picture, ratio, x, y, i, j, c), 0.56)
              << ratio << " " << outputs << " at " << i << "," << j;
        }
      }
    }
  }
}

TEST(Mosaic, KeepsFlatColourAtAnyRatio) {
  const Image picture(260, 260, 3, 255);
  const CutPicture cut(picture, 130, 130);
  for (const double ratio : {0.7, 1.0, 1.01, 2.004, 3.3, 17.0, 129.0}) {
    const Image out = Resampled(cut.mosaic, ratio, 2, 0.25, 1.5);
    for (const uint8_t value : out.pixels) ASSERT_EQ(value, 255) << ratio;
  }
}

// Weights of a few units of the integers. A tap's floor loses half a unit of 1/128 grey level on
// average, which the kernel makes up for up to 128 taps.
TEST(Mosaic, StaysNearTheDefinitionAtHugeRatios) {
  Image picture(900, 700, 3);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      picture.at(x, y)[0] = static_cast<uint8_t>(255 * x / picture.width);
      picture.at(x, y)[1] = static_cast<uint8_t>(255 * y / picture.height);
      picture.at(x, y)[2] = 255;
    }
  }
  const CutPicture cut(picture, 128, 128);
  for (const double ratio : {150.0, 190.0, 219.3, 257.0, 400.0}) {
    const Image out = Resampled(cut.mosaic, ratio, 2, 3.25, 1.5);
    for (int j = 0; j < 2; ++j) {
      for (int i = 0; i < 2; ++i) {
        if (3.25 + (i + 0.5) * ratio > 900 || 1.5 + (j + 0.5) * ratio > 700) continue;
        for (int c = 0; c < 3; ++c) {
          EXPECT_NEAR(out.at(i, j)[c], Exact(picture, ratio, 3.25, 1.5, i, j, c), 1.5 + ratio / 128)
              << ratio;
        }
      }
    }
  }
}

// Windows wholly beyond an edge see the pixels there.
TEST(Mosaic, WindowsBesideThePictureSeeItsEdge) {
  const Image picture(64, 64, 3, 99);
  const CutPicture cut(picture, 32, 32);
  for (const double ratio : {0.5, 2.0}) {
    for (const auto& [x, y] :
         {std::pair{-100.0, 5.0}, {5.0, -100.5}, {-100.0, -100.0}, {200.0, 200.0}}) {
      const Image out = Resampled(cut.mosaic, ratio, 8, x, y);
      for (const uint8_t value : out.pixels) ASSERT_EQ(value, 99) << ratio << " " << x << " " << y;
    }
  }
}

TEST(Mosaic, RatioOneCopies) {
  const Image picture = Noise(64, 64, 5);
  const CutPicture cut(picture, 24, 24);
  Image copy(30, 30, 3);
  CopyWindow(cut.mosaic, 13, 21, &copy);
  EXPECT_EQ(Resampled(cut.mosaic, 1, 30, 13, 21).pixels, copy.pixels);
}

// A pixel depends on its place in the picture alone.
TEST(Mosaic, OverlappingWindowsAgree) {
  const Image picture = Noise(300, 300, 6);
  const CutPicture cut(picture, 50, 70);
  const double ratio = 2.25;  // four outputs are nine pixels
  MosaicResampler resampler(ratio, 32);
  Image a, b;
  resampler.Run(cut.mosaic, 40.5, 60.25, &a);
  resampler.Run(cut.mosaic, 58.5, 87.25, &b);  // 8 and 12 outputs on
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 24; ++x) ASSERT_EQ(a.at(x + 8, y + 12)[0], b.at(x, y)[0]);
  }
}

// The weights kept from one window are not used for another.
TEST(Mosaic, OneResamplerServesManyWindows) {
  const Image picture = Noise(200, 180, 7);
  const CutPicture cut(picture, 64, 64);
  MosaicResampler kept(2.004, 40);
  PhiloxStream draw(8, DrawPurpose::kTest, 0, 0);
  Image out;
  for (int trial = 0; trial < 40; ++trial) {
    const double x = draw.Below(2) ? draw.Below(119) : 119 * double(draw.Uniform());
    const double y = draw.Below(2) ? draw.Below(99) : 99 * double(draw.Uniform());
    kept.Run(cut.mosaic, x, y, &out);
    ASSERT_EQ(out.pixels, Resampled(cut.mosaic, 2.004, 40, x, y).pixels) << x << " " << y;
  }
}

TEST(MosaicKernels, Avx2EqualsPlain) {
  if (!HaveAvx2()) GTEST_SKIP() << "needs a processor with AVX2";
  PhiloxStream draw(9, DrawPurpose::kTest, 0, 0);
  for (int trial = 0; trial < 300; ++trial) {
    const int count = 1 + static_cast<int>(draw.Below(200));
    const int taps = 1 + static_cast<int>(draw.Below(9));
    std::vector<std::vector<uint8_t>> pixels(static_cast<size_t>(taps));
    std::vector<const uint8_t*> rows;
    std::vector<uint32_t> weights;
    for (auto& row : pixels) {
      for (int i = 0; i < count; ++i) row.push_back(static_cast<uint8_t>(draw.Below(256)));
      rows.push_back(row.data());
      weights.push_back(draw.Below((1u << kDownBits) / static_cast<uint32_t>(taps) + 1) * 0x10001u);
    }
    std::vector<int16_t> plain(static_cast<size_t>(count)), fast(static_cast<size_t>(count));
    FilterDownPlain({rows.data(), weights.data(), taps, count, plain.data()});
    FilterDownAvx2({rows.data(), weights.data(), taps, count, fast.data()});
    ASSERT_EQ(plain, fast) << count << " values, " << taps << " taps";

    const int outputs = 1 + static_cast<int>(draw.Below(40)), groups = (outputs + 3) / 4;
    const int room = 1 + static_cast<int>(draw.Below(4));
    std::vector<int16_t> line(400);
    for (int16_t& value : line) value = static_cast<int16_t>(draw.Below(32641));
    std::vector<int> first(static_cast<size_t>(4 * groups)), pairs(static_cast<size_t>(groups));
    for (int& value : first) value = static_cast<int>(draw.Below(300));
    for (int& value : pairs) value = 1 + static_cast<int>(draw.Below(static_cast<uint32_t>(room)));
    std::vector<int16_t> across(static_cast<size_t>(32 * groups * room));
    for (size_t i = 0; i < across.size(); i += 8) {
      const auto w0 = static_cast<int16_t>(draw.Below(16384 / 8));
      const auto w1 = static_cast<int16_t>(draw.Below(16384 / 8));
      for (size_t k = 0; k < 8; k += 2) across[i + k] = w0, across[i + k + 1] = w1;
    }
    std::vector<uint8_t> a(static_cast<size_t>(3 * outputs) + 1, 7), b = a;
    const auto pass = [&](uint8_t* out) {
      return AcrossPass{line.data(), first.data(), across.data(), pairs.data(), room, outputs, out};
    };
    FilterAcrossPlain(pass(a.data()));
    FilterAcrossAvx2(pass(b.data()));
    ASSERT_EQ(a, b) << outputs;  // the byte behind included
  }
}

}  // namespace
}  // namespace eosin::core
