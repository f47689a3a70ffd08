// SPDX-License-Identifier: Apache-2.0
#include <tiffio.h>

#include "core/base/files.h"
#include "segment/predict/label_tiff.h"
#include "segment/predict/predict_plan.h"
#include "segment/predict/summary_sinks.h"
#include "tests/segment/predict/traced_maps.h"
#include "tests/small_disk.h"
#include "tests/testing.h"
#include "tiling/slides/openslide_slide.h"
#include "tiling/slides/slide.h"

namespace eosin::testing {
namespace {

using namespace segment;

// The map in bands of `rows`.
void Give(const std::vector<uint8_t>& labels, int width, int64_t rows, BandSink* sink) {
  const auto height = static_cast<int64_t>(labels.size()) / width;
  for (int64_t y = 0, index = 0; y < height; y += rows, ++index) {
    Band band;
    band.index = index;
    band.y = y;
    band.rows = std::min(rows, height - y);
    band.width = width;
    const auto begin = labels.begin() + y * width;
    band.labels.assign(begin, begin + band.rows * width);
    for (int c = 0; c < 2; ++c) {
      for (const uint8_t label : band.labels) {
        band.probabilities.push_back(label == c ? 200 : static_cast<uint8_t>(c));
      }
    }
    sink->Take(band);
  }
}

const std::vector<ClassStyle>& Classes() {
  static const std::vector<ClassStyle> classes = {
      {"background", {10, 20, 30}, false}, {"gland", {200, 100, 50}, true}, {"c", {1, 2, 3}, true}};
  return classes;
}

void WriteLabels(const fs::path& path, const fs::path& folder, const std::vector<uint8_t>& labels,
                 int width, int64_t rows) {
  core::MakeFolder(folder);
  const auto height = static_cast<int64_t>(labels.size()) / width;
  LabelTiff tiff(path, folder, {width, height, 0.5}, Classes());
  Give(labels, width, rows, &tiff);
  tiff.Finish();
}

// Palette indices of a directory.
std::vector<uint8_t> ReadIndices(const fs::path& path, int directory, int64_t* width) {
  TIFF* tiff = TIFFOpen(path.c_str(), "r");
  EXPECT_NE(tiff, nullptr);
  EXPECT_TRUE(TIFFSetDirectory(tiff, static_cast<uint16_t>(directory)));
  uint32_t w = 0, h = 0;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &w);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &h);
  std::vector<uint8_t> out(size_t{w} * h), tile(size_t{kBlock} * kBlock);
  for (uint32_t y = 0; y < h; y += kBlock) {
    for (uint32_t x = 0; x < w; x += kBlock) {
      EXPECT_GT(TIFFReadTile(tiff, tile.data(), x, y, 0, 0), 0);
      for (uint32_t v = 0; v < kBlock && y + v < h; ++v) {
        for (uint32_t u = 0; u < kBlock && x + u < w; ++u) {
          out[size_t{y + v} * w + x + u] = tile[size_t{v} * kBlock + u];
        }
      }
    }
  }
  TIFFClose(tiff);
  *width = w;
  return out;
}

TEST(LabelTiff, HoldsTheMapAndItsLevels) {
  const TempFolder folder;
  const int width = 1100, height = 1300;
  std::vector<uint8_t> labels(size_t{width} * height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      labels[static_cast<size_t>(y * width + x)] =
          x < 200 ? kNotPredicted : static_cast<uint8_t>((x / 64 + y / 64) % 3);
    }
  }
  WriteLabels(folder / "a.tif", folder / "work", labels, width, 100);
  int64_t w = 0;
  EXPECT_EQ(ReadIndices(folder / "a.tif", 0, &w), labels);
  const std::vector<uint8_t> half = ReadIndices(folder / "a.tif", 1, &w);
  ASSERT_EQ(w, 550);
  ASSERT_EQ(half.size(), 550U * 650);
  for (int y = 0; y < 650; ++y) {
    for (int x = 0; x < 550; ++x) {
      ASSERT_EQ(half[static_cast<size_t>(y * 550 + x)],
                labels[static_cast<size_t>(2 * y * width + 2 * x)]);
    }
  }
  ReadIndices(folder / "a.tif", 2, &w);
  EXPECT_EQ(w, 275);
  TIFF* tiff = TIFFOpen((folder / "a.tif").c_str(), "r");
  EXPECT_EQ(TIFFNumberOfDirectories(tiff), 3);
  TIFFClose(tiff);
  EXPECT_TRUE(fs::is_empty(folder / "work"));
}

TEST(LabelTiff, BandsChangeNoByte) {
  const TempFolder folder;
  const std::vector<uint8_t> labels = RandomLabels(700, 600, 3, 1);
  WriteLabels(folder / "a.tif", folder / "work", labels, 700, 1);
  WriteLabels(folder / "b.tif", folder / "work", labels, 700, 333);
  EXPECT_EQ(core::ReadFile(folder / "a.tif"), core::ReadFile(folder / "b.tif"));
}

TEST(LabelTiff, OpenSlideShowsTheColours) {
  if (tiling::OpenSlideVersion().find(" from ") == std::string::npos) {
    GTEST_SKIP() << "needs OpenSlide: " << tiling::OpenSlideVersion();
  }
  const TempFolder folder;
  std::vector<uint8_t> labels(size_t{1024} * 600, 1);
  labels[5 * 1024 + 700] = kNotPredicted;
  labels[5 * 1024 + 701] = 0;
  WriteLabels(folder / "a.tif", folder / "work", labels, 1024, 64);
  const tiling::OpenSlideSlide slide(folder / "a.tif");
  EXPECT_EQ(slide.vendor(), "generic-tiff");
  EXPECT_EQ(slide.width(), 1024);
  EXPECT_EQ(slide.height(), 600);
  ASSERT_EQ(slide.levels().size(), 2U);
  EXPECT_EQ(slide.level(1).width, 512);
  EXPECT_NEAR(slide.mpp().mean(), 0.5, 1e-6);
  const core::Image pixels = slide.ReadRegion(0, 699, 5, 3, 1);
  EXPECT_EQ(pixels.pixels, (std::vector<uint8_t>{200, 100, 50, 255, 255, 255, 10, 20, 30}));
  const core::Image half = slide.ReadRegion(1, 100, 100, 1, 1);
  EXPECT_EQ(half.pixels, (std::vector<uint8_t>{200, 100, 50}));
}

TEST(ProbabilityTiff, HasAPlaneAClass) {
  const TempFolder folder;
  const std::vector<uint8_t> labels = RandomLabels(300, 290, 2, 5);
  {
    ProbabilityTiff tiff(folder / "p.tif", {300, 290, 1}, {Classes()[0], Classes()[1]});
    Give(labels, 300, 77, &tiff);
    tiff.Finish();
  }
  TIFF* tiff = TIFFOpen((folder / "p.tif").c_str(), "r");
  ASSERT_NE(tiff, nullptr);
  uint16_t samples = 0;
  TIFFGetField(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
  EXPECT_EQ(samples, 2);
  std::vector<uint8_t> tile(size_t{kBlock} * kBlock);
  for (int c = 0; c < 2; ++c) {
    ASSERT_GT(TIFFReadTile(tiff, tile.data(), 256, 256, 0, static_cast<uint16_t>(c)), 0);
    for (int y = 256; y < 290; ++y) {
      for (int x = 256; x < 300; ++x) {
        const uint8_t label = labels[static_cast<size_t>(y * 300 + x)];
        ASSERT_EQ(tile[static_cast<size_t>((y - 256) * kBlock + x - 256)], label == c ? 200 : c);
      }
    }
  }
  TIFFClose(tiff);
}

TEST(LabelTiff, AFullDiskIsToldAndLeavesNothing) {
  const TempFolder folder;
  const SmallDisk disk(folder / "small", "256k");
  EOSIN_REQUIRE_DISK(disk);
  const std::vector<uint8_t> labels = RandomLabels(3000, 1500, 3, 1);
  ExpectError(
      [&] {
        WriteLabels(folder.path() / "small" / "a.tif", folder.path() / "small" / "work", labels,
                    3000, 64);
      },
      core::ExitCode::kMachine, "cannot write");
  EXPECT_FALSE(fs::exists(folder.path() / "small" / "a.tif"));
  EXPECT_FALSE(fs::exists(folder.path() / "small" / "a.tif.part"));
}

// Four raster pixels a pixel of the picture; background and what is not predicted tint nothing.
TEST(Overlay, MixesTheClassesColours) {
  const core::Image slide(3, 1, 3, 100);
  Overlay overlay(slide, 6, 2, Classes());
  Give({1, 1, 0, 255, 1, 0, 1, 1, 0, 255, 255, 255}, 6, 1, &overlay);
  const core::Image& picture = overlay.picture();
  EXPECT_EQ(*picture.at(0, 0), 150);  // (100 + 200) / 2
  EXPECT_EQ(*picture.at(1, 0), 100);
  EXPECT_EQ(*picture.at(2, 0), 113);  // a quarter tinted: 100 * 7/8 + 200 / 8 = 112.5
}

}  // namespace
}  // namespace eosin::testing
