// SPDX-License-Identifier: Apache-2.0
#include "core/stain/tile_stain.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/image/codec.h"
#include "core/stain/density.h"
#include "core/stain/eigen3.h"
#include "core/stain/hed.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

constexpr int kMacenko = 6;  // first column of Macenko's

nlohmann::json Fixtures() {
  return nlohmann::json::parse(ReadFile(testing::FixtureFolder() / "stain" / "stain.json"));
}

Image Crop(const Image& image, const std::vector<int>& box) {
  Image out(box[2], box[3], 3);
  for (int y = 0; y < out.height; ++y) {
    std::copy_n(image.at(box[0], box[1] + y), out.stride(), out.row(y));
  }
  return out;
}

void ExpectRow(const StainRow& row, const std::vector<double>& expected) {
  ASSERT_EQ(expected.size(), row.size());
  for (size_t i = 0; i < row.size(); ++i) {
    // Histograms: angles to 0.001, and with stains 0.3 rad apart concentrations to 1 %.
    const double slack = i < 6 ? 2e-3 : i < 12 ? 3e-3 : 0.01 + 0.012 * expected[i];
    EXPECT_NEAR(double{row[i]}, expected[i], slack) << kStainColumns[i];
  }
}

TEST(Density, TableIsTheLogarithm) {
  for (int i = 0; i < 256; ++i) {
    EXPECT_NEAR(kDensities[static_cast<size_t>(i)], OpticalDensity(i), 1e-14) << i;
  }
  EXPECT_EQ(kDensities[255], 0);
}

TEST(Eigen, DiagonalAndKnownMatrices) {
  const Eigen3 diagonal = EigenSymmetric({{{1, 0, 0}, {0, 5, 0}, {0, 0, 3}}});
  EXPECT_EQ(diagonal.values, (std::array<double, 3>{5, 3, 1}));
  EXPECT_EQ(std::abs(diagonal.vectors[0][1]), 1);
  // 2 on the diagonal, 1 beside it, 0 in the corner: 2 + sqrt(2), 2, 2 - sqrt(2).
  const Eigen3 known = EigenSymmetric({{{2, 1, 0}, {0, 2, 1}, {0, 0, 2}}});
  EXPECT_NEAR(known.values[0], 2 + std::sqrt(2.0), 1e-14);
  EXPECT_NEAR(known.values[1], 2, 1e-14);
  EXPECT_NEAR(known.values[2], 2 - std::sqrt(2.0), 1e-14);
  EXPECT_NEAR(std::abs(known.vectors[0][1]), std::sqrt(0.5), 1e-12);
}

TEST(Eigen, VectorsSolveTheEquationAndAreOrthonormal) {
  PhiloxStream random(5, DrawPurpose::kTest, 0, 0);
  for (int round = 0; round < 200; ++round) {
    std::array<Vector3, 3> m{};
    for (size_t i = 0; i < 3; ++i) {
      for (size_t j = i; j < 3; ++j) m[i][j] = m[j][i] = random.Uniform(-1, 1);
    }
    const Eigen3 eigen = EigenSymmetric(m);
    EXPECT_GE(eigen.values[0], eigen.values[1]);
    EXPECT_GE(eigen.values[1], eigen.values[2]);
    for (size_t k = 0; k < 3; ++k) {
      for (size_t i = 0; i < 3; ++i) {
        double product = 0;
        for (size_t j = 0; j < 3; ++j) product += m[i][j] * eigen.vectors[k][j];
        EXPECT_NEAR(product, eigen.values[k] * eigen.vectors[k][i], 1e-12);
      }
      for (size_t l = 0; l < 3; ++l) {
        double dot = 0;
        for (size_t j = 0; j < 3; ++j) dot += eigen.vectors[k][j] * eigen.vectors[l][j];
        EXPECT_NEAR(dot, k == l ? 1 : 0, 1e-12);
      }
    }
  }
}

TEST(TileStain, LabOfSingleColoursIsScikitImages) {
  const nlohmann::json fixtures = Fixtures();
  ASSERT_EQ(fixtures["colours"].size(), 200u);
  for (const auto& colour : fixtures["colours"]) {
    Image flat(3, 5, 3);
    for (size_t i = 0; i < flat.pixels.size(); ++i) flat.pixels[i] = colour[i % 3].get<uint8_t>();
    const StainRow row = MeasureStain(flat);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(double{row[c]}, colour[3 + c].get<double>(), 1e-3) << colour;
      EXPECT_EQ(row[3 + c], 0) << colour;  // exactly: one colour has no spread
    }
  }
}

TEST(TileStain, TwoColoursByHand) {
  // Half black, half white: L 0 and 100.
  Image image(20, 2, 3, 0);
  std::fill_n(image.row(1), image.stride(), uint8_t{255});
  const StainRow row = MeasureStain(image);
  EXPECT_NEAR(row[0], 50, 1e-3);
  EXPECT_NEAR(row[3], 50, 1e-3);
  EXPECT_NEAR(row[4], 0, 2e-3);
}

TEST(TileStain, MadeTilesAsNumpy) {
  int cases = 0;
  const nlohmann::json fixtures = Fixtures();
  for (const auto& item : fixtures["cases"]) {
    if (!item.contains("fixture")) continue;
    const std::string name = item["fixture"];
    SCOPED_TRACE(name);
    ExpectRow(MeasureStain(ReadRgb(testing::FixtureFolder() / "stain" / name)), item["row"]);
    ++cases;
  }
  EXPECT_EQ(cases, 3);
}

TEST(TileStain, RealTissueAsNumpy) {
  EOSIN_REQUIRE_DATA(testing::DataFolder() / "glas");
  int cases = 0;
  const nlohmann::json fixtures = Fixtures();
  for (const auto& item : fixtures["cases"]) {
    if (!item.contains("data")) continue;
    const std::string name = item["data"];
    SCOPED_TRACE(name);
    ExpectRow(MeasureStain(Crop(ReadRgb(testing::DataFolder() / name), item["box"])), item["row"]);
    ++cases;
  }
  EXPECT_EQ(cases, 6);
}

// Mixtures of two known stains come back, whichever is stronger.
TEST(TileStain, FindsTheStainsItWasMadeFrom) {
  const double h[3] = {0.65, 0.70, 0.29}, e[3] = {0.10, 0.95, 0.30};
  PhiloxStream random(3, DrawPurpose::kTest, 0, 0);
  Image image(96, 96, 3);
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    // Some pixels of one stain alone, so that the percentiles of the angle are the stains.
    const double which = random.Uniform(0, 1);
    const double ch = which < 0.1 ? 0 : random.Uniform(0.6f, 1.5f);
    const double ce = which > 0.9 ? 0 : random.Uniform(0.6f, 1.5f);
    for (size_t c = 0; c < 3; ++c) {
      // Shifted, so that pure stains pass beta in every channel.
      const double level = LevelOfDensity((ch * h[c] + ce * e[c]) * (which < 0.1 ? 1.6 : 1));
      image.pixels[i + c] = static_cast<uint8_t>(std::lround(std::clamp(level, 0.0, 255.0)));
    }
  }
  const StainRow row = MeasureStain(image);
  const double h_norm = std::sqrt(0.65 * 0.65 + 0.7 * 0.7 + 0.29 * 0.29);
  const double e_norm = std::sqrt(0.1 * 0.1 + 0.95 * 0.95 + 0.3 * 0.3);
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(row[kMacenko + c], h[c] / h_norm, 0.02);
    EXPECT_NEAR(row[kMacenko + 3 + c], e[c] / e_norm, 0.03);
  }
}

TEST(TileStain, NothingToFitIsNanAndNeverACrash) {
  const auto expect_nan = [](const StainRow& row, const char* what) {
    for (size_t i = kMacenko; i < row.size(); ++i) EXPECT_TRUE(std::isnan(row[i])) << what;
  };
  const StainRow none = MeasureStain(Image());
  for (const float v : none) EXPECT_TRUE(std::isnan(v));
  const StainRow white = MeasureStain(Image(64, 64, 3, 255));
  EXPECT_NEAR(white[0], 100, 1e-3);
  expect_nan(white, "white");
  expect_nan(MeasureStain(Image(64, 64, 3, 0)), "black");
  expect_nan(MeasureStain(Image(1, 1, 3, 90)), "one pixel");
  expect_nan(MeasureStain(Image(7, 9, 3, 90)), "63 pixels");
  Image one(64, 64, 3);
  for (size_t i = 0; i < one.pixels.size(); ++i) one.pixels[i] = i % 3 == 1 ? 90 : 160;
  expect_nan(MeasureStain(one), "one colour");
  Image two = one;  // two colours lie on a line
  for (size_t i = 0; i < two.pixels.size() / 2; ++i) two.pixels[i] -= 40;
  expect_nan(MeasureStain(two), "two colours");
  Image grey(64, 64, 3);  // a ramp of greys does too
  for (size_t i = 0; i < grey.pixels.size(); ++i) {
    grey.pixels[i] = static_cast<uint8_t>(20 + i / 3 % 180);
  }
  expect_nan(MeasureStain(grey), "greys");
}

// Random noise of any size: finite or NaN, vectors of unit length, H redder than E.
TEST(TileStain, NoiseOfAnySize) {
  PhiloxStream random(11, DrawPurpose::kTest, 0, 0);
  for (int round = 0; round < 60; ++round) {
    Image image(1 + static_cast<int>(random.Below(70)), 1 + static_cast<int>(random.Below(40)), 3);
    for (uint8_t& v : image.pixels) v = static_cast<uint8_t>(random.Below(256));
    const StainRow row = MeasureStain(image);
    EXPECT_EQ(0, std::memcmp(&row, std::vector<StainRow>{MeasureStain(image)}.data(), sizeof row));
    for (size_t i = 0; i < 6; ++i) EXPECT_TRUE(std::isfinite(row[i]));
    if (std::isnan(row[kMacenko])) continue;
    for (size_t s = 0; s < 2; ++s) {
      const float* v = &row[kMacenko + 3 * s];
      EXPECT_NEAR(v[0] * v[0] + v[1] * v[1] + v[2] * v[2], 1, 1e-5);
      EXPECT_GE(row[12 + s], 0);
    }
    EXPECT_GE(row[kMacenko], row[kMacenko + 3]);
  }
}

}  // namespace
}  // namespace eosin::core
