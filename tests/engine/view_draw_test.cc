// SPDX-License-Identifier: Apache-2.0
// Recipes, presets and the distribution of the draws.
#include "engine/augment/recipe.h"

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "engine/augment/view_sampler.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

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

// The table of published recipes, written a second time.
TEST(ViewRecipe, PresetsFollowTheTables) {
  struct Row {
    const char* name;
    int size;
    double scale_min, scale_max, b, c, s, h, jitter, gray, blur, solarize;
    const char* filter;
  };
  const Row rows[] = {
      {"simclr", 224, .08, 1, .8, .8, .8, .2, .8, .2, .5, 0, "bilinear"},
      {"simclr_cifar", 32, .08, 1, .4, .4, .4, .1, .8, .2, 0, 0, "bilinear"},
      {"byol_a", 224, .08, 1, .4, .4, .2, .1, .8, .2, 1, 0, "bilinear"},
      {"byol_b", 224, .08, 1, .4, .4, .2, .1, .8, .2, .1, .2, "bilinear"},
      {"barlow_a", 224, .08, 1, .4, .4, .2, .1, .8, .2, 1, 0, "bicubic"},
      {"barlow_b", 224, .08, 1, .4, .4, .2, .1, .8, .2, .1, .2, "bicubic"},
      {"vicreg", 224, .08, 1, .4, .4, .2, .1, .8, .2, .5, .1, "bilinear"},
      {"moco_v2", 224, .2, 1, .4, .4, .4, .1, .8, .2, .5, 0, "bilinear"},
      {"swav_global", 224, .14, 1, .8, .8, .8, .2, .8, .2, .5, 0, "bilinear"},
      {"swav_local", 96, .05, .14, .8, .8, .8, .2, .8, .2, .5, 0, "bilinear"},
      {"dino_global1", 224, .14, 1, .4, .4, .2, .1, .8, .2, 1, 0, "bicubic"},
      {"dino_global2", 224, .14, 1, .4, .4, .2, .1, .8, .2, .1, .2, "bicubic"},
      {"dino_local", 96, .05, .14, .4, .4, .2, .1, .8, .2, .5, 0, "bicubic"},
      {"mae", 224, .2, 1, 0, 0, 0, 0, 0, 0, 0, 0, "bicubic"},
      {"solo_symmetric", 32, .08, 1, .8, .8, .8, .2, .8, .2, .5, 0, "bicubic"},
      {"solo_symmetric_weak", 32, .08, 1, .4, .4, .4, .1, .8, .2, .5, 0, "bicubic"},
      {"solo_asymmetric_a", 32, .08, 1, .4, .4, .2, .1, .8, .2, 0, 0, "bicubic"},
      {"solo_asymmetric_b", 32, .08, 1, .4, .4, .2, .1, .8, .2, 0, .2, "bicubic"},
      {"byol_cifar_a", 32, .08, 1, .4, .4, .2, .1, .8, .2, 0, 0, "bilinear"},
      {"byol_cifar_b", 32, .08, 1, .4, .4, .2, .1, .8, .2, 0, .2, "bilinear"},
      {"histology", 224, .2, 1, .4, .4, .4, .1, .8, .2, .5, 0, "bilinear"},
      {"full", 32, .08, 1, .4, .4, .4, .1, .8, .2, .5, 0, "bilinear"},
      {"aggressive", 32, .02, 1, .8, .8, .8, .2, .8, .2, .5, 0, "bilinear"},
  };
  for (const Row& row : rows) {
    const ViewRecipe r = ViewRecipe::Preset(row.name);
    EXPECT_EQ(r.size, row.size) << row.name;
    EXPECT_EQ(r.crop_scale_min, row.scale_min) << row.name;
    EXPECT_EQ(r.crop_scale_max, row.scale_max) << row.name;
    EXPECT_EQ(r.brightness, row.b) << row.name;
    EXPECT_EQ(r.contrast, row.c) << row.name;
    EXPECT_EQ(r.saturation, row.s) << row.name;
    EXPECT_EQ(r.hue, row.h) << row.name;
    EXPECT_EQ(r.jitter_probability, row.jitter) << row.name;
    EXPECT_EQ(r.gray_probability, row.gray) << row.name;
    EXPECT_EQ(r.blur_probability, row.blur) << row.name;
    EXPECT_EQ(r.solarize_probability, row.solarize) << row.name;
    EXPECT_EQ(r.hflip_probability, 0.5) << row.name;
    EXPECT_EQ(r.interpolation, row.filter) << row.name;
    EXPECT_EQ(r.jitter_order, "random") << row.name;
  }
  EXPECT_EQ(ViewRecipe::Preset("histology").stain, "hed");
  EXPECT_EQ(ViewRecipe::Preset("histology").rot90_probability, 1);
  EXPECT_EQ(ViewRecipe::Preset("histology_macenko").stain, "macenko");
  EXPECT_EQ(ViewRecipe::Preset("histology_randstainna").stain, "randstainna");
  EXPECT_DOUBLE_EQ(ViewRecipe::Preset("aggressive").crop_ratio_min, 1.0 / 3);
  EXPECT_EQ(ViewRecipe::Preset("aggressive").crop_ratio_max, 3);
  for (const std::string& name : ViewRecipe::PresetNames()) ViewRecipe::Preset(name).Check();
  EXPECT_EQ(ViewRecipe::PresetNames().size(), 28u);
  testing::ExpectError([] { ViewRecipe::Preset("mixup"); }, core::ExitCode::kUsage, "mixup");
}

// Minimal crops and does nothing else; moderate mirrors and greys; full jitters and blurs too.
TEST(ViewRecipe, CifarStepsAddOneToAnother) {
  auto seen = [](const char* name) {
    std::set<std::string> operations;
    for (uint32_t i = 0; i < 300; ++i) {
      const ViewParams p = DrawView(ViewRecipe::Preset(name),
                                    core::PhiloxStream(3, core::DrawPurpose::kView, 0, i), 32, 32);
      if (p.crop_w < 32 || p.crop_h < 32) operations.insert("crop");
      if (p.hflip) operations.insert("flip");
      if (p.gray) operations.insert("gray");
      if (p.jitter) operations.insert("jitter");
      if (p.blur_sigma > 0) operations.insert("blur");
      if (p.vflip || p.rot90 || p.stain || p.solarize <= 1) operations.insert("other");
    }
    return operations;
  };
  using Names = std::set<std::string>;
  EXPECT_EQ(seen("minimal"), (Names{"crop"}));
  EXPECT_EQ(seen("moderate"), (Names{"crop", "flip", "gray"}));
  EXPECT_EQ(seen("full"), (Names{"crop", "flip", "gray", "jitter", "blur"}));
  EXPECT_EQ(seen("aggressive"), (Names{"crop", "flip", "gray", "jitter", "blur"}));
}

TEST(DrawView, OrderInterpolationAndThresholdAreData) {
  ViewRecipe recipe;
  recipe.jitter_order = "hscb";
  recipe.interpolation = "bicubic";
  recipe.solarize_probability = 1;
  recipe.solarize_threshold = 0.25;
  const ViewParams p =
      DrawView(recipe, core::PhiloxStream(1, core::DrawPurpose::kView, 0, 0), 64, 64);
  const std::vector<int> order(p.jitter_order, p.jitter_order + 4);
  EXPECT_EQ(order, (std::vector<int>{kHue, kSaturation, kContrast, kBrightness}));
  EXPECT_EQ(p.bicubic, 1);
  EXPECT_EQ(p.solarize, 0.25f);
  recipe.jitter_order = "bcs";
  testing::ExpectError([&] { recipe.Check("view_a"); }, core::ExitCode::kUsage,
                       "view_a.jitter_order = bcs");
  recipe.jitter_order = "bbcs";
  testing::ExpectError([&] { recipe.Check("view_a"); }, core::ExitCode::kUsage, "bbcs");
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
  set.Set("view1.stain=macenko");
  EXPECT_TRUE(recipe.NeedsFacts());
  try {  // the key of earlier versions: its error names the new one
    set.Set("view1.hed_probability=0.5");
    ADD_FAILURE() << "hed_probability is still known";
  } catch (const core::ConfigError& error) {
    EXPECT_THAT(std::string(error.what()), ::testing::HasSubstr("view1.hed_probability"));
    EXPECT_THAT(error.hint(), ::testing::HasSubstr("view1.stain_probability"));
  }
  set.Set("view1.crop_scale_min=0.9");
  set.Set("view1.crop_scale_max=0.5");
  testing::ExpectError([&] { recipe.Check("view1"); }, core::ExitCode::kUsage,
                       "view1.crop_scale_min = 0.9 is above view1.crop_scale_max = 0.5");
}

}  // namespace
}  // namespace eosin::engine
