// SPDX-License-Identifier: Apache-2.0
// The CPU executor against torchvision v2 (tests/parity/make_view_fixtures.py made the references)
// and its invariants.
#include "engine/augment/apply.h"

#include <cmath>

#include "core/image/codec.h"
#include "engine/augment/pixel_ops.h"
#include "engine/augment/recipe.h"
#include "tests/engine/views.h"

namespace eosin::engine {
namespace {

using core::Image;
using testing::Noise;
using testing::ParamsOf;
using testing::Render;
using testing::SimdLevels;
using testing::ViewFolder;
using testing::ViewManifest;
using testing::WorstDifference;

TEST(ApplyView, EqualsTorchvisionWithinTwoLevels) {
  const Image source = core::ReadRgb(ViewFolder() / "source.png");
  const nlohmann::json& manifest = ViewManifest();
  ASSERT_EQ(manifest.at("views").size(), 36u);
  int worst = 0;
  for (const auto& item : manifest.at("views")) {
    const std::string name = item.at("name");
    const Image expected = core::ReadRgb(ViewFolder() / (name + ".png"));
    for (const SimdLevel simd : SimdLevels()) {
      const Image got = Render(source, ParamsOf(item), item.at("out")[0], item.at("out")[1], simd);
      const int difference = WorstDifference(got, expected);
      EXPECT_LE(difference, 2) << name << " simd " << static_cast<int>(simd);
      worst = std::max(worst, difference);
    }
  }
  RecordProperty("worst_difference", worst);
}

// Every order of the four jitter operations, one view below the other in one file.
TEST(ApplyView, EveryJitterOrderEqualsTorchvision) {
  const Image source = core::ReadRgb(ViewFolder() / "source.png");
  const Image expected = core::ReadRgb(ViewFolder() / "orders.png");
  const auto& orders = ViewManifest().at("orders");
  ASSERT_EQ(orders.size(), 24u);
  for (size_t i = 0; i < orders.size(); ++i) {
    const int width = orders[i].at("out")[0], height = orders[i].at("out")[1];
    Image wanted(width, height, 3);
    std::copy_n(expected.row(static_cast<int>(i) * height), wanted.pixels.size(),
                wanted.pixels.begin());
    for (const SimdLevel simd : SimdLevels()) {
      EXPECT_LE(WorstDifference(Render(source, ParamsOf(orders[i]), width, height, simd), wanted),
                2)
          << orders[i].at("name");
    }
  }
}

// Noise at 32, 96 and 224 pixels (kernels 3, 9, 23), four sigmas; borders included.
TEST(ApplyView, BlurEqualsTorchvision) {
  for (const auto& item : ViewManifest().at("blurs")) {
    const int size = item.at("size");
    const Image source = testing::HashNoise(size);
    const Image expected = core::ReadRgb(ViewFolder() / ("blur_" + std::to_string(size) + ".png"));
    int strip = 0;
    for (const double sigma : item.at("sigmas")) {
      ViewParams params;
      params.blur_sigma = static_cast<float>(sigma);
      const Image got = Render(source, params, size, size);
      for (const int y : item.at("rows")) {
        for (int x = 0; x < 3 * size; ++x) {
          ASSERT_NEAR(got.row(y)[x], expected.row(strip)[x], 1) << size << " " << sigma << " " << y;
        }
        ++strip;
      }
    }
    ASSERT_EQ(strip, expected.height);
  }
}

TEST(ApplyView, IdentityRecordCopiesBitForBit) {
  const Image source = Noise(53, 31, 3, 1);
  for (const SimdLevel simd : SimdLevels()) {
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
    for (const SimdLevel simd : SimdLevels()) {
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
  const Image mask = core::ReadMask(ViewFolder() / "mask.png");
  const nlohmann::json& manifest = ViewManifest();
  for (const auto& item : manifest.at("views")) {
    const std::string name = item.at("name");
    const auto& cases = manifest.at("masks");
    if (std::find(cases.begin(), cases.end(), name) == cases.end()) continue;
    const Image expected = core::ReadMask(ViewFolder() / ("mask_" + name + ".png"));
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

TEST(BlurKernelSize, IsOddAndAboutATenth) {
  EXPECT_EQ(BlurKernelSize(224, 224), 23);
  EXPECT_EQ(BlurKernelSize(32, 32), 3);
  EXPECT_EQ(BlurKernelSize(96, 96), 9);
}

}  // namespace
}  // namespace eosin::engine
