// SPDX-License-Identifier: Apache-2.0
#include "tiling/synth/synth.h"

#include <openslide/openslide.h>
#include <cmath>
#include <cstring>
#include <map>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/image/codec.h"
#include "tests/testing.h"
#include "tiling/synth/painter.h"
#include "tiling/synth/regions.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;
using core::Image;
using testing::ExpectError;
using testing::TempFolder;

SynthOptions Small() {
  SynthOptions options;
  options.slides = 2;
  options.width = 2304;  // not a multiple of a block: edges are cut
  options.height = 2048;
  options.regions_per_slide = 2;
  options.region_size = 400;
  options.seed = 5;
  return options;
}

// Made once: every test below only looks.
const fs::path& SmallSlides() {
  static TempFolder folder;
  static const bool made = (MakeSlides(Small(), folder.path()), true);
  static const fs::path path = made ? folder.path() : fs::path();
  return path;
}

std::map<std::string, std::string> Hashes(const fs::path& folder) {
  std::map<std::string, std::string> hashes;
  for (const auto& file : core::ListFiles(folder, {}, true)) {
    hashes[fs::relative(file, folder).string()] = core::Sha256File(file);
  }
  return hashes;
}

double Property(openslide_t* slide, const char* name) {
  const char* value = openslide_get_property_value(slide, name);
  return value ? std::atof(value) : NAN;
}

// RGB of a window.
Image Read(openslide_t* slide, int64_t x, int64_t y, int level, int width, int height) {
  std::vector<uint32_t> argb(static_cast<size_t>(width) * height);
  openslide_read_region(slide, argb.data(), x, y, level, width, height);
  EXPECT_EQ(openslide_get_error(slide), nullptr);
  Image image(width, height, 3);
  for (size_t i = 0; i < argb.size(); ++i) {
    for (int c = 0; c < 3; ++c) image.pixels[3 * i + c] = argb[i] >> (16 - 8 * c) & 255;
  }
  return image;
}

TEST(Synth, OpenSlideSeesAnAperioPyramid) {
  openslide_t* slide = openslide_open((SmallSlides() / "slides" / "P01-S01.tif").c_str());
  ASSERT_NE(slide, nullptr);
  ASSERT_EQ(openslide_get_error(slide), nullptr);
  EXPECT_STREQ(openslide_get_property_value(slide, OPENSLIDE_PROPERTY_NAME_VENDOR), "aperio");
  EXPECT_EQ(Property(slide, OPENSLIDE_PROPERTY_NAME_MPP_X), 0.5);
  EXPECT_EQ(Property(slide, OPENSLIDE_PROPERTY_NAME_MPP_Y), 0.5);
  EXPECT_EQ(Property(slide, OPENSLIDE_PROPERTY_NAME_OBJECTIVE_POWER), 20);
  ASSERT_EQ(openslide_get_level_count(slide), 3);
  const double downsamples[3] = {1, 4, 16};
  for (int level = 0; level < 3; ++level) {
    int64_t width = 0, height = 0;
    openslide_get_level_dimensions(slide, level, &width, &height);
    EXPECT_EQ(width, 2304 / static_cast<int64_t>(downsamples[level]));
    EXPECT_EQ(height, 2048 / static_cast<int64_t>(downsamples[level]));
    EXPECT_NEAR(openslide_get_level_downsample(slide, level), downsamples[level], 1e-9);
    Read(slide, 0, 0, level, static_cast<int>(width), static_cast<int>(height));
  }
  openslide_close(slide);
}

// Each level is the mean of the pixels below it, in place: shifting it by one of its pixels fits
// far worse. Green alone, which 4:2:0 keeps best.
TEST(Synth, LevelsShowTheSamePicture) {
  openslide_t* slide = openslide_open((SmallSlides() / "slides" / "P02-S02.tif").c_str());
  const Image fine = Read(slide, 0, 0, 0, 2304, 2048);
  for (int level = 1; level < 3; ++level) {
    const int factor = level == 1 ? 4 : 16;
    const Image coarse = Read(slide, 0, 0, level, 2304 / factor, 2048 / factor);
    double here = 0, shifted = 0;
    for (int y = 0; y < coarse.height; ++y) {
      for (int x = 0; x + 1 < coarse.width; ++x) {
        int sum = 0;
        for (int k = 0; k < factor * factor; ++k) {
          sum += fine.at(factor * x + k % factor, factor * y + k / factor)[1];
        }
        const int mean = sum / (factor * factor);
        here += std::abs(mean - coarse.at(x, y)[1]);
        shifted += std::abs(mean - coarse.at(x + 1, y)[1]);
      }
    }
    EXPECT_LT(here / (coarse.width * coarse.height), 5) << level;
    EXPECT_LT(here, 0.4 * shifted) << level;
  }
  openslide_close(slide);
}

// The truth fits the picture: glands are bluer than stroma, outside tissue it is white, and within
// glands there is a bright lumen and a dark epithelium.
TEST(Synth, TruthFitsThePicture) {
  openslide_t* slide = openslide_open((SmallSlides() / "slides" / "P01-S01.tif").c_str());
  const Image rgb = Read(slide, 0, 0, 1, 576, 512);
  openslide_close(slide);
  const Image truth = core::ReadMask(SmallSlides() / "masks" / "P01-S01.png");
  ASSERT_EQ(truth.width, 2304 / kMaskDownsample);
  ASSERT_EQ(truth.height, 2048 / kMaskDownsample);
  int64_t gland = 0, lumen = 0, dark = 0, stroma = 0, white = 0;
  double red[2] = {0, 0}, coloured[2] = {0, 0};
  for (int y = 0; y < truth.height; ++y) {
    for (int x = 0; x < truth.width; ++x) {
      const uint8_t* p = rgb.at(x, y);
      const bool in = *truth.at(x, y) == 1;
      ASSERT_LE(*truth.at(x, y), 1);
      const int green = p[1];
      gland += in;
      lumen += in && green > 200;
      dark += in && green < 130;
      white += !in && green > 215;
      stroma += !in && green <= 215;
      if (green <= 200) {  // stained: red is low where haematoxylin is
        red[in] += p[0] - p[2];
        ++coloured[in];
      }
    }
  }
  const double total = static_cast<double>(truth.pixels.size());
  EXPECT_GT(gland / total, 0.05);
  EXPECT_LT(gland / total, 0.45);
  EXPECT_GT(white / total, 0.15);
  EXPECT_GT(stroma / total, 0.15);
  EXPECT_GT(lumen, gland / 20);
  EXPECT_GT(dark, gland / 20);
  EXPECT_LT(red[1] / coloured[1], red[0] / coloured[0] - 10);
}

TEST(Synth, RegionsHoldBothClassesAndMatchTheSlide) {
  int seen = 0;
  for (const fs::path& file : core::ListFiles(SmallSlides() / "regions/images", {".jpg"}, false)) {
    const Image rgb = core::ReadRgb(file);
    const Image truth =
        core::ReadMask(SmallSlides() / "regions/masks" / (file.stem().string() + ".png"));
    ASSERT_EQ(rgb.width, 400);
    ASSERT_EQ(rgb.height, 400);
    ASSERT_EQ(truth.width, 400);
    ASSERT_EQ(truth.height, 400);
    int64_t count[2] = {0, 0};
    for (const uint8_t value : truth.pixels) {
      ASSERT_LE(value, 1);
      ++count[value];
    }
    EXPECT_GT(count[0], 160000 / 50);
    EXPECT_GT(count[1], 160000 / 50);
    ++seen;
  }
  EXPECT_EQ(seen, 4);
  EXPECT_EQ(core::ReadFile(SmallSlides() / "regions/regions.csv"),
            "name,patient_id\nP01-S01_r1,P01\nP01-S01_r2,P01\nP02-S02_r1,P02\nP02-S02_r2,P02\n");
  EXPECT_EQ(core::ReadFile(SmallSlides() / "slides.csv"),
            "slide,patient_id\nP01-S01,P01\nP02-S02,P02\n");
}

TEST(Synth, ThreadsChangeNothingAndSeedsDo) {
  TempFolder one, four, other;
  SynthOptions options = Small();
  options.threads = 1;
  MakeSlides(options, one.path());
  options.threads = 4;  // two slides at once, two threads each
  MakeSlides(options, four.path());
  const auto expected = Hashes(SmallSlides());
  EXPECT_EQ(expected.size(), 14u);
  EXPECT_EQ(Hashes(one.path()), expected);
  EXPECT_EQ(Hashes(four.path()), expected);

  options.seed = 6;
  MakeSlides(options, other.path());
  for (const auto& [name, hash] : Hashes(other.path())) {
    if (fs::path(name).extension() != ".csv") {
      EXPECT_NE(hash, expected.at(name)) << name;
    }
  }
}

TEST(Synth, ASlideDoesNotDependOnTheOthers) {
  TempFolder folder;
  SynthOptions options = Small();
  options.slides = 1;
  MakeSlides(options, folder.path());
  EXPECT_EQ(core::Sha256File(folder / "slides/P01-S01.tif"),
            core::Sha256File(SmallSlides() / "slides/P01-S01.tif"));
}

TEST(Synth, PatientsAreDealtInTurn) {
  TempFolder folder;
  SynthOptions options;
  options.slides = 3;
  options.patients = 2;
  options.width = options.height = 1024;
  options.regions_per_slide = 0;
  MakeSlides(options, folder.path());
  EXPECT_EQ(core::ReadFile(folder / "slides.csv"),
            "slide,patient_id\nP01-S01,P01\nP02-S02,P02\nP01-S03,P01\n");
  EXPECT_NE(core::Sha256File(folder / "slides/P01-S01.tif"),
            core::Sha256File(folder / "slides/P01-S03.tif"));
}

// Shapes keep their size in um: at half the mpp the same tissue covers twice the pixels.
TEST(Synth, ShapesAreMadeInMicrons) {
  auto share = [](double mpp, int tiles) {
    const Scene scene(3, 0, 0, 1024, 1024, false);
    Painter painter(scene, mpp);
    PaintedTile tile;
    const auto glands = scene.GlandsIn({0, 0}, {1024, 1024});
    int64_t gland = 0;
    for (int y = 0; y < tiles; ++y) {
      for (int x = 0; x < tiles; ++x) {
        painter.Paint(x, y, glands, &tile);
        for (const uint8_t value : tile.truth.pixels) gland += value;
      }
    }
    return static_cast<double>(gland) * mpp * mpp / (1024 * 1024);
  };
  const double coarse = share(1.0, 4), fine = share(0.5, 8);
  EXPECT_GT(coarse, 0.03);
  EXPECT_NEAR(coarse, fine, 0.02 * fine);
}

// Glands stay apart from each other: no point lies in two of them.
TEST(Synth, GlandsDoNotOverlap) {
  for (uint32_t slide = 0; slide < 4; ++slide) {
    const Scene scene(11, slide, slide, 2048, 2048, false);
    const auto glands = scene.GlandsIn({0, 0}, {2048, 2048});
    ASSERT_GT(glands.size(), 20u);
    for (const Gland& a : glands) {
      for (int i = 0; i < Gland::kAngles; ++i) {
        const float angle = -3.14159265f + 6.2831853f * static_cast<float>(i) / Gland::kAngles;
        const Point p{a.centre.x + a.outer[i] * std::cos(angle),
                      a.centre.y + a.outer[i] * std::sin(angle)};
        for (const Gland& b : glands) {
          if (a.id == b.id) continue;
          const float dx = p.x - b.centre.x, dy = p.y - b.centre.y;
          ASSERT_GT(std::hypot(dx, dy), AtAngle(b.outer, FastAngle(dy, dx)));
        }
      }
    }
  }
}

// Any window of the lattice finds the same glands.
TEST(Synth, WindowsAgreeOnGlands) {
  const Scene scene(2, 1, 1, 2048, 2048, false);
  std::map<uint32_t, Gland> whole;
  for (const Gland& gland : scene.GlandsIn({0, 0}, {2048, 2048})) whole[gland.id] = gland;
  std::map<uint32_t, Gland> parts;
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 4; ++x) {
      const float w = 512;
      for (const Gland& gland : scene.GlandsIn({x * w, y * w}, {(x + 1) * w, (y + 1) * w})) {
        parts[gland.id] = gland;
      }
    }
  }
  ASSERT_EQ(parts.size(), whole.size());
  for (const auto& [id, gland] : whole) {
    ASSERT_TRUE(parts.contains(id));
    EXPECT_EQ(parts[id].outer, gland.outer);
  }
}

TEST(Synth, FastAngleIsCloseToAtan2) {
  for (int i = 0; i < 3600; ++i) {
    const float angle = static_cast<float>(i - 1799) * 3.14159265f / 1800;
    EXPECT_NEAR(FastAngle(7 * std::sin(angle), 7 * std::cos(angle)), angle, 2e-3);
  }
}

TEST(Synth, PenMarksOnlyWhereAsked) {
  auto ink = [](bool pen) {
    TempFolder folder;
    SynthOptions options;
    options.slides = 2;
    options.width = options.height = 1024;
    options.regions_per_slide = 0;
    options.pen = pen;
    MakeSlides(options, folder.path());
    openslide_t* slide = openslide_open((folder / "slides/P02-S02.tif").c_str());
    const Image rgb = Read(slide, 0, 0, 1, 256, 256);
    openslide_close(slide);
    int64_t count = 0;
    for (int i = 0; i < 256 * 256; ++i) count += rgb.pixels[3 * i] < 60;  // red: all inks take it
    return count;
  };
  EXPECT_GT(ink(true), ink(false) + 300);
}

TEST(ChooseRegions, TakesPlacesWithBothClassesApart) {
  ContentMap map;
  map.columns = 64;
  map.rows = 32;
  map.tissue.assign(64 * 32, 256);
  map.gland.assign(64 * 32, 0);
  // Glands only in the right half, a third of it.
  for (int64_t r = 0; r < 32; ++r) {
    for (int64_t c = 32; c < 64; ++c) map.gland[r * 64 + c] = (c + r) % 3 == 0 ? 256 : 0;
  }
  const core::PhiloxStream stream(1, core::DrawPurpose::kTest, 0, 0);
  const auto places = ChooseRegions(map, 128, 6, stream);
  ASSERT_EQ(places.size(), 6u);
  for (size_t i = 0; i < places.size(); ++i) {
    EXPECT_GT(places[i].x + 128, 32 * 16);
    EXPECT_LE(places[i].x + 128, 64 * 16);
    EXPECT_LE(places[i].y + 128, 32 * 16);
    for (size_t j = 0; j < i; ++j) {
      EXPECT_TRUE(std::abs(places[i].x - places[j].x) >= 128 ||
                  std::abs(places[i].y - places[j].y) >= 128);
    }
  }
  std::fill(map.gland.begin(), map.gland.end(), uint16_t{0});
  EXPECT_TRUE(ChooseRegions(map, 128, 6, stream).empty());
}

TEST(Synth, BadOptionsAreNamed) {
  TempFolder folder;
  SynthOptions options = Small();
  options.patients = 3;
  ExpectError([&] { MakeSlides(options, folder.path()); }, core::ExitCode::kUsage,
              "synth.patients");
  options = Small();
  options.region_size = 1500;
  ExpectError([&] { MakeSlides(options, folder.path()); }, core::ExitCode::kUsage,
              "synth.region_size");
  core::OptionSet set;
  options.Bind(set);
  ExpectError([&] { set.Set("synth.width", "100"); }, core::ExitCode::kUsage, "synth.width");
  ExpectError([&] { set.Set("synth.slide", "1"); }, core::ExitCode::kUsage, "synth.slide");
  EXPECT_TRUE(core::ListFiles(folder.path(), {}, true).empty());
}

TEST(Synth, RegionsThatDoNotFitAreAnError) {
  TempFolder folder;
  SynthOptions options;
  options.slides = 1;
  options.width = options.height = 1024;
  options.regions_per_slide = 50;
  options.region_size = 256;
  ExpectError([&] { MakeSlides(options, folder.path()); }, core::ExitCode::kBadInput,
              "has room for");
}

TEST(Synth, ForeignFilesAreRefused) {
  TempFolder folder;
  core::MakeFolder(folder / "slides");
  core::WriteFileAtomic(folder / "slides" / "mine.tif", "x");
  ExpectError([&] { MakeSlides(Small(), folder.path()); }, core::ExitCode::kBadInput, "mine.tif");
  EXPECT_EQ(core::ListFiles(folder.path(), {}, true).size(), 1u);
}

}  // namespace
}  // namespace eosin::tiling
