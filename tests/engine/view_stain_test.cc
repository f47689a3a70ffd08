// SPDX-License-Identifier: Apache-2.0
// Stain maps of the executor against double precision; facts of an image.
#include <cmath>
#include <string>

#include "core/image/codec.h"
#include "engine/augment/pixel_ops.h"
#include "engine/augment/stain_facts.h"
#include "tests/engine/views.h"

namespace eosin::engine {
namespace {

using core::Image;
using core::StainSpace;
using testing::Render;
using testing::ViewManifest;

core::PhiloxStream Stream(uint32_t sample, uint32_t seed = 21) {
  return core::PhiloxStream(seed, core::DrawPurpose::kView, 0, sample);
}

Image Source() { return core::ReadRgb(testing::ViewFolder() / "source.png"); }

// --- one pixel ---

double LinearOf(double v) { return v > 0.04045 ? std::pow((v + 0.055) / 1.055, 2.4) : v / 12.92; }
double SrgbOf(double v) {
  v = std::min(1.0, std::max(0.0, v));
  return v > 0.0031308 ? 1.055 * std::pow(v, 1 / 2.4) - 0.055 : 12.92 * v;
}

// scikit-image's rgb2lab and lab2rgb around a scale and an offset.
void MapLab(const double rgb[3], const pixel::ChannelAffine& map, double out[3]) {
  const double matrix[3][3] = {{0.412453, 0.357580, 0.180423},
                               {0.212671, 0.715160, 0.072169},
                               {0.019334, 0.119193, 0.950227}};
  const double white[3] = {0.95047, 1.0, 1.08883};
  double inverse[3][3], light[3], curve[3];
  core::Invert3x3(matrix, inverse);
  for (int c = 0; c < 3; ++c) light[c] = LinearOf(rgb[c] / 255);
  for (int i = 0; i < 3; ++i) {
    const double t =
        (matrix[i][0] * light[0] + matrix[i][1] * light[1] + matrix[i][2] * light[2]) / white[i];
    curve[i] = t > 0.008856 ? std::cbrt(t) : 7.787 * t + 16.0 / 116;
  }
  double lab[3] = {116 * curve[1] - 16, 500 * (curve[0] - curve[1]), 200 * (curve[1] - curve[2])};
  for (int c = 0; c < 3; ++c) lab[c] = lab[c] * double{map.scale[c]} + double{map.offset[c]};
  const double fy = (lab[0] + 16) / 116;
  const double f[3] = {fy + lab[1] / 500, fy, std::max(0.0, fy - lab[2] / 200)};
  double xyz[3];
  for (int i = 0; i < 3; ++i) {
    xyz[i] = white[i] * (f[i] > 0.2068966 ? f[i] * f[i] * f[i] : (f[i] - 16.0 / 116) / 7.787);
  }
  for (int i = 0; i < 3; ++i) {
    out[i] = 255 * SrgbOf(inverse[i][0] * xyz[0] + inverse[i][1] * xyz[1] + inverse[i][2] * xyz[2]);
  }
}

constexpr pixel::ChannelAffine kLabMaps[] = {
    {{1, 1, 1}, {0, 0, 0}},
    {{0.8f, 1.3f, 0.9f}, {10, -4, 3}},
    {{1.2f, 0.7f, 1.5f}, {-15, 6, -8}},
    {{0.6f, 1.9f, 1.4f}, {30, -14, 8}},
};

TEST(PixelOps, LabMapWithinATenthOfALevel) {
  double worst = 0;
  for (const pixel::ChannelAffine& map : kLabMaps) {
    for (int i = 0; i < 40 * 40 * 40; ++i) {
      const double rgb[3] = {i % 40 * 6.5, i / 40 % 40 * 6.5, i / 1600 * 6.5};
      double wanted[3];
      MapLab(rgb, map, wanted);
      const pixel::Rgb got = pixel::MapLab({float(rgb[0]), float(rgb[1]), float(rgb[2])}, map);
      worst = std::max({worst, std::abs(double{got.r} - wanted[0]),
                        std::abs(double{got.g} - wanted[1]), std::abs(double{got.b} - wanted[2])});
    }
  }
  EXPECT_LT(worst, 0.1);
  RecordProperty("worst_levels", std::to_string(worst));
}

TEST(PixelOps, CubeRootWithinItsBound) {
  for (double x = 0.002; x < 40; x *= 1.00037) {
    ASSERT_NEAR(double{pixel::FastCbrt(float(x))} / std::cbrt(double(float(x))), 1, 1e-6) << x;
  }
}

TEST(PixelOps, TransferCurveWithinAHundredthOfALevel) {
  for (double v = 0; v <= 1; v += 0.00037) {
    const double light = LinearOf(double(float(v)));
    EXPECT_NEAR(SrgbOf(double{pixel::LinearOf(float(v))}) * 255, v * 255, 0.01);
    EXPECT_NEAR(double{pixel::SrgbOf(float(light))} * 255, v * 255, 0.01);
  }
}

// Pure red is hue 0: a third of a turn makes it green, -1/6 magenta; half the value darkens it.
TEST(PixelOps, HsvMapByHand) {
  auto map = [](pixel::Rgb p, float turn, float saturation, float value) {
    return pixel::MapHsv(p, {{1, saturation, value}, {turn, 0, 0}});
  };
  auto expect = [](pixel::Rgb got, double r, double g, double b) {
    EXPECT_NEAR(got.r, r, 1e-3);
    EXPECT_NEAR(got.g, g, 1e-3);
    EXPECT_NEAR(got.b, b, 1e-3);
  };
  expect(map({255, 0, 0}, 1.0f / 3, 1, 1), 0, 255, 0);
  expect(map({255, 0, 0}, -1.0f / 6, 1, 1), 255, 0, 255);
  expect(map({255, 0, 0}, 3.0f, 1, 0.5f), 127.5, 0, 0);
  expect(map({200, 100, 100}, 0, 0.5f, 1), 200, 150, 150);
  expect(map({200, 100, 100}, 0, 2.5f, 1), 200, 0, 0);  // saturation is clamped
  expect(map({90, 90, 90}, 0.4f, 3, 1), 90, 90, 90);    // grey has no saturation to scale
}

// A neutral map through a whole view, on every instruction set.
TEST(StainMaps, NeutralMapsKeepLevels) {
  const Image noise = testing::Noise(61, 40, 3, 8);
  for (const uint8_t stain : {kStainDensity, kStainLab, kStainHsv}) {
    ViewParams params;
    params.stain = stain;
    if (stain != kStainDensity) std::fill_n(params.stain_matrix, 3, 1.0f);
    for (const SimdLevel simd : testing::SimdLevels()) {
      const int most = stain == kStainLab ? 1 : 0;  // half a level may round either way
      EXPECT_LE(testing::WorstDifference(Render(noise, params, 61, 40, simd), noise), most)
          << int{stain};
    }
  }
}

// Pixels whose stains scikit-image does not clamp, in its own unit: ln(1e-6) instead of e.
TEST(StainMaps, HedJitterEqualsScikitImage) {
  const auto& item = ViewManifest().at("skimage");
  float alpha[3], beta[3];
  for (size_t s = 0; s < 3; ++s) {
    alpha[s] = item.at("alpha")[s];
    beta[s] = static_cast<float>(item.at("beta")[s].get<double>() * core::kSkimageOdUnit);
  }
  ViewParams params;
  draw::SetMap(core::HedJitterAffine(core::HedDabMatrix(), alpha, beta), kModelHedDab, &params);
  for (const auto& pixel : item.at("pixels")) {
    Image image(1, 1, 3);
    for (size_t c = 0; c < 3; ++c) image.pixels[c] = pixel.at("rgb")[c];
    const Image got = Render(image, params, 1, 1);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(got.pixels[c], pixel.at("out")[c].get<double>(), 1.5) << pixel;
    }
  }
}

TEST(StainMaps, InstructionSetsAgreeWithinOneLevel) {
  const Image source = testing::Noise(97, 71, 3, 3);
  core::PhiloxStream draw = Stream(0);
  for (int i = 0; i < 12; ++i) {
    ViewParams params;
    params.bicubic = i % 2;
    params.stain = i % 3 ? kStainLab : kStainHsv;
    for (int c = 0; c < 3; ++c) {
      params.stain_matrix[c] = draw.Uniform(0.6f, 1.5f);
      params.stain_offset[c] = draw.Uniform(-0.1f, 0.1f) * (params.stain == kStainLab ? 100 : 1);
    }
    const Image base = Render(source, params, 64, 64, SimdLevel::kBaseline);
    for (const SimdLevel simd : testing::SimdLevels()) {
      ASSERT_LE(testing::WorstDifference(Render(source, params, 64, 64, simd), base), 1) << i;
    }
  }
}

// --- facts ---

TEST(StainFacts, ComeFromTheStoreOrThePixels) {
  const Image source = Source();
  StainFacts measured(source, nullptr);
  for (const auto& item : ViewManifest().at("views")) {
    if (!item.at("stain").contains("space")) continue;
    const std::string space = item["stain"]["space"];
    const core::ColorStats wanted = testing::StatsOf(item["stain"]["from"]);
    const core::ColorStats& got = measured.colors(
        space == "lab" ? StainSpace::kLab : (space == "hsv" ? StainSpace::kHsv : StainSpace::kHed));
    const double tolerance = space == "lab" ? 5e-3 : 1e-4;
    for (int c = 0; c < 3; ++c) {
      EXPECT_NEAR(got.mean[c], wanted.mean[c], tolerance) << space;
      EXPECT_NEAR(got.std[c], wanted.std[c], tolerance) << space;
    }
  }
  core::StainRow row{};
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i);
  StainFacts stored(source, &row);
  EXPECT_EQ(stored.colors(StainSpace::kLab).std[2], 5);
  EXPECT_EQ(stored.row()[13], 13);
  EXPECT_NEAR(stored.colors(StainSpace::kHsv).mean[0], measured.colors(StainSpace::kHsv).mean[0],
              0);
}

}  // namespace
}  // namespace eosin::engine
