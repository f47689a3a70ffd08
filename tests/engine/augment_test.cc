// SPDX-License-Identifier: Apache-2.0
// The CPU executor against torchvision v2 (tests/parity/make_view_fixtures.py made the references),
// its invariants, and the distribution of the draws.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/image/codec.h"
#include "engine/augment/apply.h"
#include "engine/augment/draw.h"
#include "engine/augment/pixel_ops.h"
#include "engine/augment/recipe.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

using core::Image;

const auto kFolder = testing::FixtureFolder() / "views";

nlohmann::json Manifest() {
  std::ifstream file(kFolder / "views.json");
  return nlohmann::json::parse(file);
}

ViewParams ParamsOf(const nlohmann::json& item) {
  ViewParams p;
  p.crop_x = item.at("crop")[0], p.crop_y = item.at("crop")[1];
  p.crop_w = item.at("crop")[2], p.crop_h = item.at("crop")[3];
  p.hflip = item.at("hflip"), p.vflip = item.at("vflip"), p.rot90 = item.at("rot90");
  p.jitter = item.at("jitter");
  for (int i = 0; i < 4; ++i) p.jitter_order[i] = item.at("jitter_order")[i];
  p.brightness = item.at("brightness"), p.contrast = item.at("contrast");
  p.saturation = item.at("saturation"), p.hue = item.at("hue");
  p.gray = item.at("gray"), p.blur_sigma = item.at("blur_sigma"), p.solarize = item.at("solarize");
  const int basis = item.at("hed");
  if (basis == 0) return p;
  float alpha[3], beta[3];
  for (int s = 0; s < 3; ++s) {
    alpha[s] = item.at("hed_alpha")[s], beta[s] = item.at("hed_beta")[s];
  }
  draw::SetMap(core::HedJitterAffine(
                   basis == 1 ? core::HedDabMatrix() : core::HedResidualMatrix(), alpha, beta),
               kModelHedResidual, &p);
  return p;
}

std::vector<SimdLevel> Levels() {
  std::vector<SimdLevel> levels;
  for (int l = 0; l <= static_cast<int>(BestSimd()); ++l) levels.push_back(SimdLevel(l));
  return levels;
}

Image Render(const Image& source, const ViewParams& params, int width, int height,
             SimdLevel simd = BestSimd()) {
  Image out(width, height, 3);
  ViewScratch scratch;
  ApplyView(source, params, width, height, out.pixels.data(), scratch, simd);
  return out;
}

int WorstDifference(const Image& a, const Image& b) {
  int worst = a.pixels.size() == b.pixels.size() ? 0 : 999;
  for (size_t i = 0; i < a.pixels.size() && worst < 999; ++i) {
    worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return worst;
}

Image Noise(int width, int height, int channels, uint32_t seed) {
  Image image(width, height, channels);
  core::PhiloxStream draw(seed, core::DrawPurpose::kTest, 0, 0);
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(draw.Below(256));
  return image;
}

TEST(ApplyView, EqualsTorchvisionWithinTwoLevels) {
  const Image source = core::ReadRgb(kFolder / "source.png");
  const nlohmann::json manifest = Manifest();
  ASSERT_EQ(manifest.at("views").size(), 25u);
  int worst = 0;
  for (const auto& item : manifest.at("views")) {
    const std::string name = item.at("name");
    const Image expected = core::ReadRgb(kFolder / (name + ".png"));
    for (const SimdLevel simd : Levels()) {
      const Image got = Render(source, ParamsOf(item), item.at("out")[0], item.at("out")[1], simd);
      const int difference = WorstDifference(got, expected);
      EXPECT_LE(difference, 2) << name << " simd " << static_cast<int>(simd);
      worst = std::max(worst, difference);
    }
  }
  RecordProperty("worst_difference", worst);
}

TEST(ApplyView, IdentityRecordCopiesBitForBit) {
  const Image source = Noise(53, 31, 3, 1);
  for (const SimdLevel simd : Levels()) {
    EXPECT_EQ(Render(source, ViewParams(), 53, 31, simd).pixels, source.pixels);
  }
}

// Jitter whose factors are all 1 and a crop without scaling must not move a level either.
TEST(ApplyView, NeutralOperationsKeepLevels) {
  const Image source = Noise(40, 40, 3, 2);
  ViewParams params;
  params.jitter = 1;
  const float ones[3] = {1, 1, 1}, zeros[3] = {};
  draw::SetMap(core::HedJitterAffine(core::HedResidualMatrix(), ones, zeros), kModelHedResidual,
               &params);
  EXPECT_LE(WorstDifference(Render(source, params, 40, 40), source), 0);
}

TEST(ApplyView, InstructionSetsAgreeWithinOneLevel) {
  const ViewRecipe recipe = ViewRecipe::Preset("histology");
  const Image source = Noise(97, 71, 3, 3);
  for (uint32_t sample = 0; sample < 40; ++sample) {
    const core::PhiloxStream stream(5, core::DrawPurpose::kView, 0, sample);
    const ViewParams params = DrawView(recipe, stream, 97, 71);
    const Image base = Render(source, params, 64, 64, SimdLevel::kBaseline);
    for (const SimdLevel simd : Levels()) {
      ASSERT_LE(WorstDifference(Render(source, params, 64, 64, simd), base), 1) << sample;
    }
  }
}

TEST(ApplyView, ScratchHoldsNoState) {
  const ViewRecipe recipe = ViewRecipe::Preset("byol_b");
  const Image big = Noise(200, 150, 3, 4), small = Noise(20, 33, 3, 5);
  ViewScratch shared;
  for (uint32_t sample = 0; sample < 20; ++sample) {
    const Image& source = sample % 2 ? big : small;
    const int size = sample % 3 ? 48 : 17;
    const ViewParams params =
        DrawView(recipe, core::PhiloxStream(6, core::DrawPurpose::kView, 0, sample), source.width,
                 source.height);
    Image out(size, size, 3);
    ApplyView(source, params, size, out.pixels.data(), shared);
    ASSERT_EQ(out.pixels, Render(source, params, size, size).pixels);
  }
}

// numpy: [[1, 2, 3], [4, 5, 6]] mirrored, flipped and turned counter-clockwise.
TEST(ApplyMask, HandComputedTurns) {
  Image mask(3, 2, 1);
  mask.pixels = {1, 2, 3, 4, 5, 6};
  auto turn = [&](int hflip, int vflip, int rot90) {
    ViewParams params;
    params.hflip = static_cast<uint8_t>(hflip), params.vflip = static_cast<uint8_t>(vflip);
    params.rot90 = static_cast<uint8_t>(rot90);
    std::vector<uint8_t> out(6);
    ApplyMask(mask, params, rot90 % 2 ? 2 : 3, rot90 % 2 ? 3 : 2, out.data());
    return out;
  };
  EXPECT_EQ(turn(0, 0, 0), (std::vector<uint8_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(turn(1, 0, 0), (std::vector<uint8_t>{3, 2, 1, 6, 5, 4}));
  EXPECT_EQ(turn(0, 1, 0), (std::vector<uint8_t>{4, 5, 6, 1, 2, 3}));
  EXPECT_EQ(turn(0, 0, 1), (std::vector<uint8_t>{3, 6, 2, 5, 1, 4}));
  EXPECT_EQ(turn(0, 0, 2), (std::vector<uint8_t>{6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(turn(0, 0, 3), (std::vector<uint8_t>{4, 1, 5, 2, 6, 3}));
  EXPECT_EQ(turn(1, 0, 1), (std::vector<uint8_t>{1, 4, 2, 5, 3, 6}));
}

TEST(ApplyMask, EqualsTorchvisionNearestExact) {
  const Image mask = core::ReadMask(kFolder / "mask.png");
  const nlohmann::json manifest = Manifest();
  for (const auto& item : manifest.at("views")) {
    const std::string name = item.at("name");
    const auto& cases = manifest.at("masks");
    if (std::find(cases.begin(), cases.end(), name) == cases.end()) continue;
    const Image expected = core::ReadMask(kFolder / ("mask_" + name + ".png"));
    Image out(item.at("out")[0], item.at("out")[1], 1);
    ApplyMask(mask, ParamsOf(item), out.width, out.height, out.pixels.data());
    EXPECT_EQ(out.pixels, expected.pixels) << name;
  }
}

// An image of flat 16-pixel blocks enlarged: away from block edges it must show the mask's value.
TEST(ApplyMask, SameGeometryAsTheImage) {
  Image mask(64, 48, 1), image(64, 48, 3);
  for (int y = 0; y < 48; ++y) {
    for (int x = 0; x < 64; ++x) {
      const auto value = static_cast<uint8_t>(20 * (1 + x / 16 + 4 * (y / 16)));
      *mask.at(x, y) = value;
      for (int c = 0; c < 3; ++c) image.at(x, y)[c] = value;
    }
  }
  ViewRecipe recipe = ViewRecipe::Preset("none");
  recipe.crop_scale_min = 0.3, recipe.crop_ratio_min = 0.75, recipe.crop_ratio_max = 1.33;
  recipe.hflip_probability = recipe.vflip_probability = 0.5;
  recipe.rot90_probability = 1;
  for (uint32_t sample = 0; sample < 32; ++sample) {
    const ViewParams params =
        DrawView(recipe, core::PhiloxStream(7, core::DrawPurpose::kView, 0, sample), 64, 48);
    const Image view = Render(image, params, 90, 70);
    std::vector<uint8_t> labels(90 * 70);
    ApplyMask(mask, params, 90, 70, labels.data());
    int differing = 0;
    for (size_t i = 0; i < labels.size(); ++i) differing += view.pixels[3 * i] != labels[i];
    ASSERT_LT(differing, 90 * 70 * 0.3) << sample;  // the interpolated borders of the blocks
    int far_off = 0;  // at a border the picture lies between neighbours, at most 10 from the nearer
    for (size_t i = 0; i < labels.size(); ++i) {
      const int gap = std::abs(view.pixels[3 * i] - labels[i]);
      far_off += gap > 60;
    }
    ASSERT_EQ(far_off, 0) << sample;
  }
}

TEST(PixelOps, LogAndExpWithinTheirBounds) {
  for (int level = 0; level < 2550; ++level) {
    const float x = (static_cast<float>(level) / 10 + 1) / 256;
    ASSERT_NEAR(pixel::FastLog(x), std::log(double{x}), 2e-6);
  }
  EXPECT_EQ(pixel::FastLog(1.0f), 0.0f);
  for (double x = -20; x < 6; x += 0.0137) {
    ASSERT_NEAR(pixel::FastExp(static_cast<float>(x)) / std::exp(double(float(x))), 1, 2e-6) << x;
  }
}

TEST(ApplyView, RefusesWhatItCannotDo) {
  ViewScratch scratch;
  uint8_t out[12];
  testing::ExpectError([&] { ApplyView(Image(4, 4, 1), ViewParams(), 2, out, scratch); },
                       core::ExitCode::kUsage, "cannot make a view");
  ViewParams future;
  future.version = 3;
  testing::ExpectError([&] { ApplyView(Image(4, 4, 3), future, 2, out, scratch); },
                       core::ExitCode::kUsage, "version 3");
}

// --- draws ---

double ChiSquare(const std::map<int, int>& counts, int bins, int total) {
  double sum = 0;
  const double expected = static_cast<double>(total) / bins;
  for (int bin = 0; bin < bins; ++bin) {
    const auto found = counts.find(bin);
    const double count = found == counts.end() ? 0 : found->second;
    sum += (count - expected) * (count - expected) / expected;
  }
  return sum;
}

TEST(DrawView, ParametersFollowTheirDistributions) {
  ViewRecipe recipe = ViewRecipe::Preset("histology");
  recipe.jitter_probability = recipe.blur_probability = recipe.stain_probability = 1;
  const int total = 24000;
  std::map<int, int> turns, order, brightness, hue, sigma, alpha, flips;
  auto bin = [](double value, double low, double high) {
    return std::min(15, static_cast<int>(16 * (value - low) / (high - low)));
  };
  for (int i = 0; i < total; ++i) {
    const ViewParams p = DrawView(
        recipe, core::PhiloxStream(11, core::DrawPurpose::kView, 0, static_cast<uint32_t>(i)), 224,
        224);
    ++turns[p.rot90];
    ++flips[p.hflip + 2 * p.vflip];
    int code = 0;  // Lehmer code of the permutation
    for (int a = 0, weight = 6; a < 3; weight /= (3 - a), ++a) {
      int smaller = 0;
      for (int b = a + 1; b < 4; ++b) smaller += p.jitter_order[b] < p.jitter_order[a];
      code += weight * smaller;
    }
    ++order[code];
    ++brightness[bin(p.brightness, 0.6, 1.4)];
    ++hue[bin(p.hue, -0.1, 0.1)];
    ++sigma[bin(p.blur_sigma, 0.1, 2.0)];
    ++alpha[bin(p.stain_draw[0], 0.95, 1.05)];
    ASSERT_EQ(p.stain_draw[2], 1.0f);  // the residual stays
    ASSERT_EQ(p.stain_draw[5], 0.0f);
  }
  // 99.99 % points of chi-square with 3, 23 and 15 degrees of freedom.
  EXPECT_LT(ChiSquare(turns, 4, total), 21.1);
  EXPECT_LT(ChiSquare(flips, 4, total), 21.1);
  EXPECT_LT(ChiSquare(order, 24, total), 56.0);
  for (const auto* counts : {&brightness, &hue, &sigma, &alpha}) {
    EXPECT_LT(ChiSquare(*counts, 16, total), 44.3);
  }
}

TEST(DrawView, CropsLieInsideWithAllowedShares) {
  const ViewRecipe recipe = ViewRecipe::Preset("simclr");
  double share_sum = 0, ratio_sum = 0, left_sum = 0;
  const int total = 40000;
  for (int i = 0; i < total; ++i) {
    const ViewParams p = DrawView(
        recipe, core::PhiloxStream(12, core::DrawPurpose::kView, 3, static_cast<uint32_t>(i)), 300,
        200);
    ASSERT_GE(p.crop_x, 0);
    ASSERT_GE(p.crop_y, 0);
    ASSERT_LE(p.crop_x + p.crop_w, 300);
    ASSERT_LE(p.crop_y + p.crop_h, 200);
    const double share = p.crop_w * p.crop_h / 60000.0, ratio = p.crop_w / p.crop_h;
    ASSERT_GT(share, 0.075);
    ASSERT_GT(ratio, 0.72);
    ASSERT_LT(ratio, 1.38);
    share_sum += share, ratio_sum += ratio, left_sum += p.crop_x;
  }
  // Means of 100,000 boxes drawn by torchvision 0.26 for the same image.
  EXPECT_NEAR(share_sum / total, 0.3907, 0.006);
  EXPECT_NEAR(ratio_sum / total, 1.0450, 0.006);
  EXPECT_NEAR(left_sum / total, 74.2, 1.5);
}

TEST(DrawView, FallsBackToTheCentre) {
  ViewRecipe recipe = ViewRecipe::Preset("none");
  const core::PhiloxStream stream(1, core::DrawPurpose::kView, 0, 0);
  const ViewParams wide = DrawView(recipe, stream, 100, 40);
  EXPECT_EQ(wide.crop_w, 40);
  EXPECT_EQ(wide.crop_h, 40);
  EXPECT_EQ(wide.crop_x, 30);
  EXPECT_EQ(wide.crop_y, 0);
  const ViewParams centre = CentreView(100, 40);
  EXPECT_EQ(centre.crop_x, 30);
  EXPECT_EQ(centre.crop_w, 40);
}

// A probability changed must not move the other operations' draws.
TEST(DrawView, OperationsHaveTheirOwnPlaces) {
  ViewRecipe a = ViewRecipe::Preset("simclr"), b = a;
  b.stain = "hed";
  b.hflip_probability = b.jitter_probability = b.stain_probability = b.solarize_probability = 1;
  b.blur_probability = 1;
  for (uint32_t i = 0; i < 100; ++i) {
    const core::PhiloxStream stream(13, core::DrawPurpose::kView, 0, i);
    const ViewParams p = DrawView(a, stream, 224, 224), q = DrawView(b, stream, 224, 224);
    ASSERT_EQ(p.crop_x, q.crop_x);
    ASSERT_EQ(p.crop_w, q.crop_w);
    ASSERT_EQ(p.brightness, q.brightness);
    ASSERT_EQ(p.gray, q.gray);
    if (p.blur_sigma > 0) {
      ASSERT_EQ(p.blur_sigma, q.blur_sigma);
    }
  }
}

TEST(ViewRecipe, PresetsFollowTheTables) {
  const ViewRecipe simclr = ViewRecipe::Preset("simclr");
  EXPECT_EQ(simclr.crop_scale_min, 0.08);
  EXPECT_EQ(simclr.brightness, 0.8);
  EXPECT_EQ(simclr.hue, 0.2);
  const ViewRecipe a = ViewRecipe::Preset("byol_a"), b = ViewRecipe::Preset("byol_b");
  EXPECT_EQ(a.blur_probability, 1.0);
  EXPECT_EQ(b.blur_probability, 0.1);
  EXPECT_EQ(a.solarize_probability, 0.0);
  EXPECT_EQ(b.solarize_probability, 0.2);
  EXPECT_EQ(a.saturation, 0.2);
  EXPECT_EQ(ViewRecipe::Preset("simclr_cifar").blur_probability, 0);
  EXPECT_EQ(ViewRecipe::Preset("histology").stain, "hed");
  for (const std::string& name : ViewRecipe::PresetNames()) ViewRecipe::Preset(name).Check();
  testing::ExpectError([] { ViewRecipe::Preset("mixup"); }, core::ExitCode::kUsage, "mixup");
}

TEST(ViewRecipe, BindsItsKeys) {
  ViewRecipe recipe;
  core::OptionSet set;
  recipe.Bind(set, "view1");
  set.Set("view1.blur_probability=0.25");
  set.Set("view1.hed_basis=dab");
  EXPECT_EQ(recipe.blur_probability, 0.25);
  EXPECT_EQ(recipe.hed_basis, "dab");
  testing::ExpectError([&] { set.Set("view1.gray_probability=1.5"); }, core::ExitCode::kUsage,
                       "view1.gray_probability");
  set.Set("view1.crop_scale_min=0.9");
  set.Set("view1.crop_scale_max=0.5");
  testing::ExpectError([&] { recipe.Check("view1"); }, core::ExitCode::kUsage,
                       "view1.crop_scale_min = 0.9 is above view1.crop_scale_max = 0.5");
}

TEST(BlurKernelSize, IsOddAndAboutATenth) {
  EXPECT_EQ(BlurKernelSize(224, 224), 23);
  EXPECT_EQ(BlurKernelSize(32, 32), 3);
  EXPECT_EQ(BlurKernelSize(96, 96), 9);
}

}  // namespace
}  // namespace eosin::engine
