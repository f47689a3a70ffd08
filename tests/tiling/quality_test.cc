// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/quality.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/image/codec.h"
#include "core/stain/density.h"
#include "core/stain/tile_stain.h"
#include "tests/testing.h"
#include "tiling/slides/slide.h"
#include "tiling/tissue/overview.h"
#include "tiling/tissue/pen.h"

namespace eosin::tiling {
namespace {

using core::Image;
using core::PhiloxStream;
using testing::DataFolder;

constexpr int kSide = 64;

cv::Mat View(const Image& image) {
  return cv::Mat(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.pixels.data()));
}

Image Crop(const Image& image, int x, int y, int width, int height) {
  Image out(width, height, 3);
  for (int row = 0; row < height; ++row) {
    std::copy_n(image.at(x, y + row), out.stride(), out.row(row));
  }
  return out;
}

Image Blurred(const Image& image, double sigma) {
  Image out(image.width, image.height, 3);
  cv::Mat to = View(out);
  cv::GaussianBlur(View(image), to, cv::Size(), sigma);
  return out;
}

// A picture shrunk to about 2 um/px, cut into tiles of which less than half is glass.
std::vector<Image> TissueTiles(const Image& image, int shrink) {
  const Image small = ShrinkByMean(image, shrink);
  std::vector<Image> tiles;
  for (int y = 0; y + kSide <= small.height; y += kSide) {
    for (int x = 0; x + kSide <= small.width; x += kSide) {
      Image tile = Crop(small, x, y, kSide, kSide);
      if (ScoreTile(tile, 2).white < 0.5) tiles.push_back(std::move(tile));
    }
  }
  return tiles;
}

struct Picture {
  Image image;
  double mpp;
  int shrink;
};

std::vector<Picture> GlasPictures(int count) {
  std::vector<Picture> pictures;
  for (const auto& file : core::ListFiles(DataFolder() / "glas", {".jpg", ".jpeg"}, true)) {
    if (static_cast<int>(pictures.size()) == count) break;
    pictures.push_back({core::ReadRgb(file), 0.62, 3});
  }
  return pictures;
}

Picture Slide0(const std::string& name, double mpp, int shrink) {
  const auto slide = Slide::Open(DataFolder() / "slides" / name);
  return {slide->ReadRegion(0, 0, 0, static_cast<int>(slide->width()),
                            static_cast<int>(slide->height())),
          mpp, shrink};
}

// Probability that a value of `high` is above one of `low`.
double Auc(const std::vector<double>& high, const std::vector<double>& low) {
  double won = 0;
  for (const double h : high) {
    for (const double l : low) won += h > l ? 1 : h == l ? 0.5 : 0;
  }
  return won / (static_cast<double>(high.size()) * static_cast<double>(low.size()));
}

std::vector<double> Scores(const std::vector<Image>& tiles, double mpp,
                           float TileQuality::* score) {
  std::vector<double> scores;
  for (const Image& tile : tiles) scores.push_back(double{ScoreTile(tile, mpp).*score});
  return scores;
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

Image Flat(uint8_t r, uint8_t g, uint8_t b) {
  Image image(kSide, kSide, 3);
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    image.pixels[i] = r;
    image.pixels[i + 1] = g;
    image.pixels[i + 2] = b;
  }
  return image;
}

TEST(Quality, FlatTilesByHand) {
  const TileQuality glass = ScoreTile(Flat(243, 241, 244), 2);
  EXPECT_EQ(glass.white, 1);
  EXPECT_EQ(glass.blur, 1);  // no detail at all
  EXPECT_EQ(glass.pen, 0);
  EXPECT_EQ(glass.fold, 0);
  EXPECT_EQ(ScoreTile(Flat(205, 204, 206), 2).white, 1);  // dull glass has no colour
  EXPECT_EQ(ScoreTile(Flat(215, 190, 210), 2).white, 0);  // pale eosin has
  const TileQuality black = ScoreTile(Flat(3, 2, 4), 2);
  EXPECT_EQ(black.black, 1);
  EXPECT_EQ(black.pen, 0);
  EXPECT_EQ(ScoreTile(Flat(30, 28, 25), 2).black, 0);
  EXPECT_EQ(ScoreTile(Flat(30, 28, 25), 2).pen, 1);  // black ink
}

TEST(Quality, SharesByHand) {
  Image image = Flat(243, 243, 243);
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < kSide; ++x) {
      uint8_t* pixel = image.at(x, y);
      if (y < 8) {
        std::fill_n(pixel, 3, uint8_t{0});
      } else {
        pixel[0] = 20, pixel[1] = 150, pixel[2] = 110;  // green ink
      }
    }
  }
  const TileQuality score = ScoreTile(image, 2);
  EXPECT_FLOAT_EQ(score.white, 0.75f);
  EXPECT_FLOAT_EQ(score.black, 0.125f);
  EXPECT_FLOAT_EQ(score.pen, 0.125f);
  for (size_t i = 0; i < kQualityNames.size(); ++i) {
    EXPECT_EQ(QualityAt(score, static_cast<int>(i)),
              (std::array{score.blur, score.pen, score.white, score.black, score.fold})[i]);
  }
}

TEST(Quality, SmallOddAndEmptyTiles) {
  EXPECT_EQ(ScoreTile(Image(), 2).blur, 0);
  PhiloxStream random(1, core::DrawPurpose::kTest, 0, 0);
  for (const auto& [width, height] :
       {std::pair{8, 8}, {1, 1}, {2, 9}, {9, 2}, {67, 65}, {131, 3}}) {
    Image image(width, height, 3);
    for (uint8_t& v : image.pixels) v = static_cast<uint8_t>(random.Below(256));
    const TileQuality score = ScoreTile(image, 2);
    for (size_t i = 0; i < kQualityNames.size(); ++i) {
      const float value = QualityAt(score, static_cast<int>(i));
      EXPECT_TRUE(value >= 0 && value <= 1) << kQualityNames[i] << " " << width;
    }
  }
}

// An edge blurred by sigma um has the same score at 2 um/px and at 1.5 um/px.
TEST(Quality, BlurDoesNotDependOnScale) {
  for (const double sigma : {3.0, 5.0}) {
    double scores[2];
    for (int i = 0; i < 2; ++i) {
      const double mpp = i == 0 ? 2 : 1.5;
      Image image(kSide, kSide, 3);
      for (int y = 0; y < kSide; ++y) {
        for (int x = 0; x < kSide; ++x) {
          const double um = (x - kSide / 2) * mpp;
          const double level = 150 + 90 * std::erf(um / sigma / std::sqrt(2.0));
          std::fill_n(image.at(x, y), 3, static_cast<uint8_t>(std::lround(level)));
        }
      }
      scores[i] = double{ScoreTile(image, mpp).blur};
    }
    EXPECT_NEAR(scores[0], scores[1], 0.1) << sigma;
  }
}

TEST(Quality, SharpAndBlurredTissueAreApart) {
  EOSIN_REQUIRE_DATA(DataFolder() / "glas");
  std::vector<Picture> pictures = GlasPictures(25);
  pictures.push_back(Slide0("CMU-1-Small-Region.svs", 0.499, 4));
  std::vector<std::vector<double>> scores(5);
  const double sigmas[] = {0, 1, 2, 4, 8};  // um
  for (const Picture& picture : pictures) {
    for (size_t s = 0; s < 5; ++s) {
      const Image image = s == 0 ? picture.image : Blurred(picture.image, sigmas[s] / picture.mpp);
      for (const double v : Scores(TissueTiles(image, picture.shrink), picture.mpp * picture.shrink,
                                   &TileQuality::blur)) {
        scores[s].push_back(v);
      }
    }
  }
  ASSERT_GT(scores[0].size(), 150u);
  for (size_t s = 1; s < 5; ++s) {
    printf("  sigma %.0f um: blur %.2f (sharp %.2f), AUC %.4f\n", sigmas[s], Mean(scores[s]),
           Mean(scores[0]), Auc(scores[s], scores[0]));
  }
  EXPECT_GT(Auc(scores[1], scores[0]), 0.95);
  for (size_t s = 2; s < 5; ++s) EXPECT_GT(Auc(scores[s], scores[0]), 0.995);
  EXPECT_LT(Mean(scores[0]), 0.15);
  EXPECT_NEAR(Mean(scores[2]), 0.5, 0.1);  // what the option's help says
  EXPECT_GT(Mean(scores[4]), 0.9);
}

TEST(Quality, BlurDoesNotDependOnStainStrength) {
  EOSIN_REQUIRE_DATA(DataFolder() / "glas");
  std::vector<double> changes;
  for (const Picture& picture : GlasPictures(10)) {
    for (const Image& tile : TissueTiles(picture.image, picture.shrink)) {
      Image faint = tile;
      for (uint8_t& v : faint.pixels) v = static_cast<uint8_t>(255 - (255 - v) * 4 / 10);
      changes.push_back(
          std::abs(double{ScoreTile(faint, 2).blur} - double{ScoreTile(tile, 2).blur}));
    }
  }
  EXPECT_LT(Mean(changes), 0.05);
}

// Both forms of the question are one.
TEST(Pen, InkOfAgreesWithIsPen) {
  for (int r = 0; r < 256; r += 3) {
    for (int g = 0; g < 256; g += 3) {
      for (int b = 0; b < 256; b += 3) {
        const auto red = static_cast<uint8_t>(r), green = static_cast<uint8_t>(g),
                   blue = static_cast<uint8_t>(b);
        ASSERT_EQ(IsPen(red, green, blue), InkOf(red, green, blue) != Ink::kNone);
      }
    }
  }
}

TEST(Pen, ColoursByHand) {
  EXPECT_EQ(InkOf(205, 40, 60), Ink::kRed);
  EXPECT_EQ(InkOf(30, 150, 110), Ink::kGreen);
  EXPECT_EQ(InkOf(30, 60, 160), Ink::kBlue);
  EXPECT_EQ(InkOf(40, 36, 30), Ink::kBlack);
  EXPECT_EQ(InkOf(243, 243, 243), Ink::kNone);
  EXPECT_EQ(InkOf(0, 0, 0), Ink::kNone);  // scanner black
}

// Beer-Lambert colours of every mixture of published stains are not ink: haematoxylin, eosin, DAB.
TEST(Pen, StainMixturesAreNotInk) {
  const double h[3] = {0.65, 0.70, 0.29}, e[3] = {0.07, 0.99, 0.11}, dab[3] = {0.27, 0.57, 0.78};
  int tried = 0;
  for (const double* second : {e, dab}) {
    for (double ch = 0; ch <= 2.2; ch += 0.1) {
      for (double c2 = 0; c2 <= 2.2; c2 += 0.1) {
        uint8_t rgb[3];
        for (int c = 0; c < 3; ++c) {
          const double level = 256 * std::exp(-(ch * h[c] + c2 * second[c])) - 1;
          rgb[c] = static_cast<uint8_t>(std::lround(std::max(0.0, level)));
        }
        EXPECT_EQ(InkOf(rgb[0], rgb[1], rgb[2]), Ink::kNone)
            << int{rgb[0]} << " " << int{rgb[1]} << " " << int{rgb[2]};
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 900);
}

TEST(Pen, RealTissueScoresNothing) {
  EOSIN_REQUIRE_DATA(DataFolder() / "glas");
  const auto check = [](const std::string& name, const std::vector<Image>& tiles) {
    ASSERT_FALSE(tiles.empty()) << name;
    std::vector<double> scores = Scores(tiles, 2, &TileQuality::pen);
    std::sort(scores.begin(), scores.end());
    printf("  %s: %zu tiles, mean pen %.5f, 99th percentile %.4f\n", name.c_str(), scores.size(),
           Mean(scores), scores[scores.size() * 99 / 100]);
    EXPECT_LT(Mean(scores), 0.005) << name;
  };
  std::vector<Image> tiles;
  for (const Picture& picture : GlasPictures(165)) {
    for (Image& tile : TissueTiles(picture.image, picture.shrink)) tiles.push_back(std::move(tile));
  }
  check("GlaS", tiles);
  const Picture cmu = Slide0("CMU-1-Small-Region.svs", 0.499, 4);
  check("CMU-1", TissueTiles(cmu.image, cmu.shrink));
  const Picture tcga = Slide0("TCGA-CR-7395-01A-01-TS1.svs", 0.5, 4);
  check("TCGA", TissueTiles(tcga.image, tcga.shrink));
  for (const char* folder : {"lc25000_lung", "dsb2018_he"}) {
    tiles.clear();
    int number = 0;
    for (const auto& file :
         core::ListFiles(DataFolder() / folder, {".jpeg", ".jpg", ".png"}, true)) {
      if (file.string().find("mask") != std::string::npos || number++ % 4 != 0) continue;
      for (Image& tile : TissueTiles(core::ReadRgb(file), 2)) tiles.push_back(std::move(tile));
    }
    check(folder, tiles);
  }
}

// Tiles of the slides with pen marks, scored against the true masks of the marks.
TEST(Pen, RealMarksAreFound) {
  for (const char* colour : {"red", "green", "black"}) {
    const auto folder = DataFolder() / "slides" / "hard";
    const auto name = std::string("pen_") + colour;
    EOSIN_REQUIRE_DATA(folder / (name + "_pyr.tif"));
    const auto slide = Slide::Open(folder / (name + "_pyr.tif"));
    const Image image = slide->ReadRegion(0, 0, 0, static_cast<int>(slide->width()),
                                          static_cast<int>(slide->height()));
    const Image mask = core::ReadMask(folder / (name + "_mask.png"));
    ASSERT_EQ(mask.width, image.width);
    constexpr int kTile = 32;
    std::vector<double> marked, clean;
    double error = 0;
    for (int y = 0; y + kTile <= image.height; y += kTile) {
      for (int x = 0; x + kTile <= image.width; x += kTile) {
        double truth = 0;
        for (int dy = 0; dy < kTile; ++dy) {
          for (int dx = 0; dx < kTile; ++dx) truth += mask.row(y + dy)[x + dx] != 0;
        }
        truth /= kTile * kTile;
        const double score = double{ScoreTile(Crop(image, x, y, kTile, kTile), 2).pen};
        error += std::abs(score - truth);
        if (truth > 0.1) marked.push_back(score);
        if (truth == 0) clean.push_back(score);
      }
    }
    const double auc = Auc(marked, clean);
    const double off = error / static_cast<double>(marked.size() + clean.size());
    printf("  %s: AUC %.4f, mean |score - true share| %.4f, clean tiles %.4f\n", colour, auc, off,
           Mean(clean));
    EXPECT_GT(auc, 0.95) << colour;
    EXPECT_LT(off, 0.03) << colour;
    EXPECT_LT(Mean(clean), 0.01) << colour;
  }
}

// Tissue laid upon itself, shifted, in a band across the tile.
Image Folded(const Image& tile, double angle, double width) {
  Image out = tile;
  for (int y = 0; y < tile.height; ++y) {
    for (int x = 0; x < tile.width; ++x) {
      const double d =
          (x - tile.width / 2) * std::cos(angle) + (y - tile.height / 2) * std::sin(angle);
      if (std::abs(d) > width / 2) continue;
      const uint8_t* upper = tile.at((x + 17) % tile.width, (y + 23) % tile.height);
      for (int c = 0; c < 3; ++c) {
        const double od = core::kDensities[tile.at(x, y)[c]] + core::kDensities[upper[c]];
        out.at(x, y)[c] = static_cast<uint8_t>(std::lround(std::max(0.0, 256 * std::exp(-od) - 1)));
      }
    }
  }
  return out;
}

TEST(Fold, MadeFoldsAreFound) {
  EOSIN_REQUIRE_DATA(DataFolder() / "glas");
  PhiloxStream random(2, core::DrawPurpose::kTest, 0, 0);
  const Picture tcga = Slide0("TCGA-CR-7395-01A-01-TS1.svs", 0.5, 4);
  std::vector<Image> glas;
  for (const Picture& picture : GlasPictures(40)) {
    for (Image& tile : TissueTiles(picture.image, picture.shrink)) glas.push_back(std::move(tile));
  }
  for (const auto& [name, tiles] :
       {std::pair{"GlaS", glas}, {"TCGA", TissueTiles(tcga.image, tcga.shrink)}}) {
    std::vector<double> folded, plain = Scores(tiles, 2, &TileQuality::fold);
    double band = 0;
    for (const Image& tile : tiles) {
      const double width = double{random.Uniform(10, 25)};
      folded.push_back(
          double{ScoreTile(Folded(tile, double{random.Uniform(0, 3.14f)}, width), 2).fold});
      band += width / kSide;
    }
    printf("  %s: fold %.3f without, %.3f with a band of about %.2f, AUC %.3f\n", name, Mean(plain),
           Mean(folded), band / static_cast<double>(tiles.size()), Auc(folded, plain));
    EXPECT_GT(Auc(folded, plain), 0.93) << name;
    EXPECT_LT(Mean(plain), 0.03) << name;
    EXPECT_GT(Mean(folded), 0.15) << name;
  }
}

TEST(Fold, UniformTissueHasNone) {
  EXPECT_EQ(ScoreTile(Flat(120, 40, 110), 2).fold, 0);  // dark all over
  Image half = Flat(200, 140, 190);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < 20; ++x) {
      // As dense as a fold and bluer: nuclei.
      uint8_t* pixel = half.at(x, y);
      pixel[0] = 70, pixel[1] = 55, pixel[2] = 140;
    }
  }
  EXPECT_EQ(ScoreTile(half, 2).fold, 0);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < 20; ++x) {
      uint8_t* pixel = half.at(x, y);  // twice the density
      pixel[0] = 156, pixel[1] = 77, pixel[2] = 141;
    }
  }
  EXPECT_NEAR(ScoreTile(half, 2).fold, 20.0 / kSide, 1e-6);
}

TEST(QualityLimits, KeysAndOrder) {
  QualityLimits limits;
  core::OptionSet set;
  limits.Bind(set);
  EXPECT_FALSE(limits.Any());
  TileQuality score{.blur = 0.9f, .pen = 0.2f, .white = 1, .black = 0, .fold = 0.1f};
  EXPECT_EQ(limits.Exceeded(score), -1);
  for (const char* name : kQualityNames) EXPECT_TRUE(set.Has(std::string("reject.") + name));
  set.Set("reject.pen=0.1");
  EXPECT_TRUE(limits.Any());
  EXPECT_EQ(limits.Exceeded(score), 1);
  set.Set("reject.blur=0.5");
  EXPECT_EQ(limits.Exceeded(score), 0);
  testing::ExpectError([&] { set.Set("reject.white=1.5"); }, core::ExitCode::kUsage,
                       "reject.white");
}

// The committed numbers of real tissue (tests/parity/make_stain_fixtures.py), through the slide.
TEST(TileStain, SlideRegionsAsNumpy) {
  EOSIN_REQUIRE_DATA(DataFolder() / "slides");
  const auto fixtures =
      nlohmann::json::parse(core::ReadFile(testing::FixtureFolder() / "stain" / "stain.json"));
  int cases = 0;
  for (const auto& item : fixtures["cases"]) {
    if (!item.contains("slide")) continue;
    const auto slide = Slide::Open(DataFolder() / item["slide"].get<std::string>());
    const auto box = item["box"].get<std::vector<int>>();
    const core::StainRow row =
        core::MeasureStain(slide->ReadRegion(0, box[0], box[1], box[2], box[3]));
    for (size_t i = 0; i < row.size(); ++i) {
      const double expected = item["row"][i].get<double>();
      const double slack = i < 6 ? 2e-3 : i < 12 ? 3e-3 : 0.01 + 0.012 * expected;
      EXPECT_NEAR(double{row[i]}, expected, slack) << core::kStainColumns[i];
    }
    ++cases;
  }
  EXPECT_EQ(cases, 3);
}

}  // namespace
}  // namespace eosin::tiling
