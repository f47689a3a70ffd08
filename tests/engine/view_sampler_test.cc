// SPDX-License-Identifier: Apache-2.0
// What ViewSampler draws for stains, against its distributions and double-precision formulas.
#include "engine/augment/view_sampler.h"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/stain/stain_jitter.h"
#include "tests/engine/views.h"

namespace eosin::engine {
namespace {

using core::Image;
using core::StainSpace;
using testing::Render;

core::PhiloxStream Stream(uint32_t sample, uint32_t seed = 21) {
  return core::PhiloxStream(seed, core::DrawPurpose::kView, 0, sample);
}

// A tile of two stains, so that Macenko can fit it.
Image StainedTile() {
  const float h[3] = {0.65f, 0.70f, 0.29f}, e[3] = {0.27f, 0.85f, 0.45f};
  Image image(48, 48, 3);
  core::PhiloxStream draw = Stream(1, 77);
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    const float a = draw.Uniform(0, 1.5f), b = draw.Uniform(0, 1.2f);
    for (size_t c = 0; c < 3; ++c) {
      const double level = core::LevelOfDensity(double{a * h[c] + b * e[c]});
      image.pixels[i + c] = static_cast<uint8_t>(std::clamp(level + 0.5, 0.0, 255.0));
    }
  }
  return image;
}

ViewRecipe StainOnly(const char* stain) {
  ViewRecipe recipe = ViewRecipe::Preset("none");
  recipe.stain = stain;
  recipe.stain_probability = 1;
  return recipe;
}

TEST(ViewSampler, GivesDrawViewsRecordsWithoutFacts) {
  for (const char* name : {"simclr", "byol_b", "histology", "aggressive", "dino_local"}) {
    const ViewRecipe recipe = ViewRecipe::Preset(name);
    const ViewSampler sampler(recipe);
    ASSERT_FALSE(sampler.needs_facts());
    for (uint32_t i = 0; i < 50; ++i) {
      const ViewParams a = sampler.Draw(Stream(i), 300, 200, nullptr);
      const ViewParams b = DrawView(recipe, Stream(i), 300, 200);
      ASSERT_EQ(std::memcmp(&a, &b, sizeof a), 0) << name;
    }
  }
}

// The stain is drawn beside the other operations: with or without it they are the same.
TEST(ViewSampler, StainMovesNoOtherDraw) {
  const Image tile = StainedTile();
  ViewRecipe plain = ViewRecipe::Preset("histology");
  plain.stain = "off";
  for (const char* stain : {"macenko", "randstainna"}) {
    ViewRecipe recipe = plain;
    recipe.stain = stain;
    recipe.stain_probability = 0.5;
    const ViewSampler sampler(recipe);
    ASSERT_TRUE(sampler.needs_facts());
    StainFacts facts(tile, nullptr);
    int stained = 0;
    for (uint32_t i = 0; i < 200; ++i) {
      ViewParams got = sampler.Draw(Stream(i), 48, 48, &facts);
      const ViewParams wanted = DrawView(plain, Stream(i), 48, 48);
      stained += got.stain != kStainOff;
      ViewParams reset = wanted;
      got.stain = reset.stain, got.stain_model = reset.stain_model;
      std::copy_n(reset.stain_matrix, 9, got.stain_matrix);
      std::copy_n(reset.stain_offset, 3, got.stain_offset);
      std::copy_n(reset.stain_draw, 6, got.stain_draw);
      ASSERT_EQ(std::memcmp(&got, &wanted, sizeof got), 0) << stain;
    }
    EXPECT_GT(stained, 65);  // 200 throws of a coin: 5 deviations
    EXPECT_LT(stained, 135);
  }
}

// Kolmogorov's distance to the uniform distribution on [low, high], times sqrt(n): above 2.23 once
// in 10,000.
double Uniformity(std::vector<double> values, double low, double high) {
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  double worst = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double share = (values[i] - low) / (high - low);
    worst = std::max({worst, std::abs(share - static_cast<double>(i) / n),
                      std::abs(share - static_cast<double>(i + 1) / n)});
  }
  return worst * std::sqrt(n);
}

struct Spread {
  double mean = 0, deviation = 0;
};
Spread SpreadOf(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double v : values) sum += v, squares += v * v;
  const double n = static_cast<double>(values.size());
  return {sum / n, std::sqrt(squares / n - sum / n * (sum / n))};
}

TEST(ViewSampler, MacenkoFollowsItsDistributions) {
  const Image tile = StainedTile();
  StainFacts facts(tile, nullptr);
  const ViewSampler sampler(StainOnly("macenko"));
  std::vector<double> drawn[6];
  for (uint32_t i = 0; i < 5000; ++i) {
    const ViewParams p = sampler.Draw(Stream(i), 48, 48, &facts);
    ASSERT_EQ(p.stain, kStainDensity);
    ASSERT_EQ(p.stain_model, kModelMacenko);
    for (int k = 0; k < 6; ++k) drawn[k].push_back(double{p.stain_draw[k]});
  }
  for (int s = 0; s < 2; ++s) {
    EXPECT_LT(Uniformity(drawn[s], 0.5, 1.5), 2.23);
    EXPECT_LT(Uniformity(drawn[2 + s], -0.25, 0.25), 2.23);
    const Spread angle = SpreadOf(drawn[4 + s]);
    EXPECT_NEAR(angle.mean, 0, 0.2);  // 3 degrees / sqrt(5000), 4.7 deviations
    EXPECT_NEAR(angle.deviation, 3, 0.14);
  }
}

// The picture from the six numbers that were drawn, all in double precision.
TEST(ViewSampler, MacenkoRecordsEqualTheFormula) {
  const Image tile = StainedTile();
  StainFacts facts(tile, nullptr);
  const core::StainRow row = facts.row();
  const ViewSampler sampler(StainOnly("macenko"));
  for (uint32_t i = 0; i < 6; ++i) {
    const ViewParams p = sampler.Draw(Stream(i), 48, 48, &facts);
    // Gram-Schmidt basis of the stain plane; stains and their turned copies in it.
    double u[3], v[3], stains[2][2], turned[2][2];
    double dot = 0, length = 0;
    for (int c = 0; c < 3; ++c) u[c] = double{row[6 + c]}, dot += u[c] * double{row[9 + c]};
    for (int c = 0; c < 3; ++c) v[c] = double{row[9 + c]} - dot * u[c], length += v[c] * v[c];
    length = std::sqrt(length);
    for (double& value : v) value /= length;
    stains[0][0] = 1, stains[0][1] = 0, stains[1][0] = dot, stains[1][1] = length;
    for (int s = 0; s < 2; ++s) {
      const double angle = double{p.stain_draw[4 + s]} * 3.14159265358979323846 / 180;
      turned[s][0] = stains[s][0] * std::cos(angle) - stains[s][1] * std::sin(angle);
      turned[s][1] = stains[s][0] * std::sin(angle) + stains[s][1] * std::cos(angle);
    }
    const Image got = Render(tile, p, 48, 48);
    for (size_t at = 0; at < tile.pixels.size(); at += 3) {
      double od[3], x = 0, y = 0;
      for (size_t c = 0; c < 3; ++c) {
        od[c] = core::OpticalDensity(tile.pixels[at + c]);
        x += od[c] * u[c], y += od[c] * v[c];
      }
      const double e = y / stains[1][1], h = x - e * stains[1][0];
      const double new_h = h * double{p.stain_draw[0]} + double{p.stain_draw[2]};
      const double new_e = e * double{p.stain_draw[1]} + double{p.stain_draw[3]};
      const double new_x = new_h * turned[0][0] + new_e * turned[1][0];
      const double new_y = new_h * turned[0][1] + new_e * turned[1][1];
      for (size_t c = 0; c < 3; ++c) {
        const double moved = od[c] + (new_x - x) * u[c] + (new_y - y) * v[c];
        const double level = std::clamp(core::LevelOfDensity(moved), 0.0, 255.0);
        ASSERT_NEAR(got.pixels[at + c], level, 1) << i;
      }
    }
  }
}

TEST(ViewSampler, MacenkoLeavesUnstainedTilesAlone) {
  const ViewSampler sampler(StainOnly("macenko"));
  const Image white(32, 32, 3, 250);
  StainFacts facts(white, nullptr);
  ASSERT_TRUE(std::isnan(facts.row()[6]));
  EXPECT_EQ(sampler.Draw(Stream(0), 32, 32, &facts).stain, kStainOff);
  core::StainRow parallel{};
  for (size_t i : {6, 9}) parallel[i] = 0.6f, parallel[i + 1] = 0.8f;
  StainFacts stored(white, &parallel);
  EXPECT_EQ(sampler.Draw(Stream(0), 32, 32, &stored).stain, kStainOff);
}

TEST(ViewSampler, HedConventionIsAUnit) {
  ViewRecipe recipe = StainOnly("hed");
  recipe.hed_alpha = 0;
  const ViewParams natural = DrawView(recipe, Stream(3), 48, 48);
  recipe.hed_convention = "skimage";
  const ViewParams skimage = DrawView(recipe, Stream(3), 48, 48);
  for (int c = 0; c < 3; ++c) {
    EXPECT_NEAR(skimage.stain_offset[c], natural.stain_offset[c] * 13.8155f, 1e-5);
  }
  EXPECT_GT(std::abs(natural.stain_offset[0]), 1e-4);
}

// The published means and deviations, spread 1 - 0.3; and the target is reached.
TEST(ViewSampler, RandStainNaDrawsItsTargets) {
  const Image tile = StainedTile();
  StainFacts facts(tile, nullptr);
  ViewRecipe recipe = ViewRecipe::Preset("histology_randstainna");
  recipe.stain_probability = 1;
  const ViewSampler sampler(recipe);
  const core::StainTemplate published = core::StainTemplate::PublishedCrc();
  const core::StainSpaceFit& fit = *published.spaces[0];
  std::vector<double> drawn[6];
  for (uint32_t i = 0; i < 5000; ++i) {
    const ViewParams p = sampler.Draw(Stream(i), 48, 48, &facts);
    ASSERT_EQ(p.stain, kStainLab);
    for (int k = 0; k < 6; ++k) drawn[k].push_back(double{p.stain_draw[k]});
  }
  for (size_t k = 0; k < 3; ++k) {
    const Spread spread = SpreadOf(drawn[k]);
    const double wanted = fit.spread[k] * 0.7;
    EXPECT_NEAR(spread.mean, fit.center[k], 4.5 * wanted / std::sqrt(5000)) << k;
    EXPECT_NEAR(spread.deviation, wanted, 0.05 * wanted) << k;
  }
  for (size_t k = 3; k < 6; ++k) {
    EXPECT_GT(*std::min_element(drawn[k].begin(), drawn[k].end()), 0);
    EXPECT_NEAR(SpreadOf(drawn[k]).mean, fit.center[k], 0.1 * fit.center[k]) << k;
  }
  // A gentle target is reached within what rounding and clamping cost.
  ViewParams p = sampler.Draw(Stream(1), 48, 48, &facts);
  core::ColorStats target = facts.colors(StainSpace::kLab);
  target.mean[0] += 4, target.mean[1] -= 3, target.std[2] *= 0.8f;
  const core::ChannelMap map = core::ReinhardMap(facts.colors(StainSpace::kLab), target);
  p = ViewParams();
  p.stain = kStainLab;
  std::fill_n(p.stain_matrix, 9, 0.0f);
  std::copy_n(map.scale, 3, p.stain_matrix), std::copy_n(map.offset, 3, p.stain_offset);
  const core::ColorStats reached = core::MeasureColors(Render(tile, p, 48, 48), StainSpace::kLab);
  for (int c = 0; c < 3; ++c) {
    EXPECT_NEAR(reached.mean[c], target.mean[c], 0.5) << c;
    EXPECT_NEAR(reached.std[c], target.std[c], 0.5) << c;
  }
}

core::StainSpaceFit FitAround(const core::ColorStats& stats) {
  core::StainSpaceFit fit;
  for (size_t c = 0; c < 3; ++c) {
    fit.center[c] = double{stats.mean[c]}, fit.center[3 + c] = double{stats.std[c]};
    fit.spread[c] = 0.1 * double{stats.std[c]}, fit.spread[3 + c] = 0.05 * double{stats.std[c]};
  }
  return fit;
}

TEST(ViewSampler, RandomSpaceTakesAllThreeEquallyOften) {
  const testing::TempFolder folder;
  const Image tile = StainedTile();
  StainFacts facts(tile, nullptr);
  core::StainTemplate fitted;
  fitted.tiles = 2, fitted.source = "test";
  for (int s = 0; s < core::kStainSpaces; ++s) {
    fitted.spaces[static_cast<size_t>(s)] = FitAround(facts.colors(static_cast<StainSpace>(s)));
  }
  fitted.Write(folder / "all.json");
  ViewRecipe recipe = StainOnly("randstainna");
  recipe.randstainna_template = (folder / "all.json").string();
  recipe.randstainna_space = "random";
  const ViewSampler sampler(recipe);
  int counts[7] = {};
  for (uint32_t i = 0; i < 3000; ++i) {
    const ViewParams p = sampler.Draw(Stream(i), 48, 48, &facts);
    ASSERT_LT(p.stain_model, 7);
    ++counts[p.stain_model];
    ASSERT_EQ(p.stain == kStainDensity, p.stain_model == kModelReinhardHed);
  }
  for (const int model : {kModelReinhardLab, kModelReinhardHsv, kModelReinhardHed}) {
    EXPECT_NEAR(counts[model], 1000, 120);  // 4.6 deviations
  }

  fitted.spaces[1].reset();
  fitted.Write(folder / "two.json");
  recipe.randstainna_template = (folder / "two.json").string();
  testing::ExpectError([&] { ViewSampler{recipe}; }, core::ExitCode::kBadInput,
                       "has no statistics of hsv");
  recipe.randstainna_space = "lab";
  recipe.randstainna_spread = "mixture";
  testing::ExpectError([&] { ViewSampler{recipe}; }, core::ExitCode::kBadInput,
                       "has no mixture for lab");
  recipe.randstainna_template = (folder / "none.json").string();
  testing::ExpectError([&] { ViewSampler{recipe}; }, core::ExitCode::kBadInput, "none.json");
}

TEST(StainTemplateDigest, FollowsTheContentsOfTheFilesThatAreRead) {
  testing::TempFolder folder;
  const auto with = [&](const char* file) {
    ViewRecipe recipe = StainOnly("randstainna");
    recipe.randstainna_template = (folder / file).string();
    return recipe;
  };
  core::WriteFileAtomic(folder / "a.json", "one");
  core::WriteFileAtomic(folder / "b.json", "two");
  const ViewRecipe plain = ViewRecipe::Preset("simclr"), published = StainOnly("randstainna");
  EXPECT_EQ(StainTemplateDigest({}), "");
  EXPECT_EQ(StainTemplateDigest({plain, published}), "");
  ViewRecipe unused = with("none.json");
  unused.stain = "hed";
  EXPECT_EQ(StainTemplateDigest({unused}), "");

  const std::string digest = StainTemplateDigest({with("a.json"), with("b.json")});
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(StainTemplateDigest({with("a.json"), plain, with("b.json")}), digest);
  EXPECT_NE(StainTemplateDigest({with("b.json"), with("a.json")}), digest);
  EXPECT_NE(StainTemplateDigest({with("a.json")}), digest);
  core::WriteFileAtomic(folder / "copy.json", "one");  // the path does not count
  EXPECT_EQ(StainTemplateDigest({with("copy.json"), with("b.json")}), digest);
  core::WriteFileAtomic(folder / "b.json", "three");
  EXPECT_NE(StainTemplateDigest({with("a.json"), with("b.json")}), digest);
  testing::ExpectError([&] { StainTemplateDigest({with("none.json")}); }, core::ExitCode::kBadInput,
                       "none.json");
}

TEST(ViewSampler, NeedsWhatItNeeds) {
  EXPECT_THROW(ViewSampler(StainOnly("macenko")).Draw(Stream(0), 8, 8, nullptr),
               std::invalid_argument);
  testing::ExpectError([] { DrawView(StainOnly("randstainna"), Stream(0), 8, 8); },
                       core::ExitCode::kUsage, "stain = randstainna");
  ViewRecipe recipe = StainOnly("randstainna");
  recipe.randstainna_space = "hed";
  testing::ExpectError([&] { ViewSampler{recipe}; }, core::ExitCode::kUsage,
                       "randstainna_space = hed needs");
}

}  // namespace
}  // namespace eosin::engine
