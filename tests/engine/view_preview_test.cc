// SPDX-License-Identifier: Apache-2.0
#include "engine/augment/preview.h"

#include "core/base/files.h"
#include "core/image/codec.h"
#include "tests/engine/views.h"

namespace eosin::engine {
namespace {

using core::Image;

// Noise of 40 x 30; image 2 does not decode.
class Pictures : public ImageSource {
 public:
  explicit Pictures(bool all_bad = false) : all_bad_(all_bad) {}
  int64_t size() const override { return 5; }
  Image Read(int64_t index) const override {
    if (all_bad_ || index == 2) throw core::DataError("picture 2 is cut short", "replace it");
    return testing::Noise(40, 30, 3, static_cast<uint32_t>(index));
  }
  std::string name(int64_t index) const override { return "noise" + std::to_string(index); }
  std::string group(int64_t index) const override { return name(index); }
  int64_t label(int64_t) const override { return -1; }
  const std::vector<std::string>& classes() const override { return classes_; }

 private:
  bool all_bad_;
  std::vector<std::string> classes_;
};

TEST(Describe, NamesWhatWasDoneInOrder) {
  EXPECT_EQ(Describe(ViewParams()), "unchanged");
  ViewParams p;
  p.crop_x = 10, p.crop_y = 4, p.crop_w = 120, p.crop_h = 96;
  p.hflip = 1, p.rot90 = 3;
  p.stain = kStainDensity, p.stain_model = kModelHedResidual;
  const float draw[6] = {1.03f, 0.98f, 1, 0.01f, -0.02f, 0};
  std::copy_n(draw, 6, p.stain_draw);
  p.jitter = 1;
  const uint8_t order[4] = {kHue, kContrast, kBrightness, kSaturation};
  std::copy_n(order, 4, p.jitter_order);
  p.hue = -0.1f, p.contrast = 1.2f, p.brightness = 0.75f, p.saturation = 1.5f;
  p.gray = 1, p.blur_sigma = 0.8f, p.solarize = 0.5f;
  EXPECT_EQ(Describe(p),
            "crop 120 x 96 at 10, 4; mirrored; turned 270 deg; HED: H x1.030 +0.010, E x0.980 "
            "-0.020; hue -36 deg, contrast x1.20, brightness x0.75, saturation x1.50; grey; blur "
            "0.80 px; solarised from 128");
  p = ViewParams();
  p.stain = kStainDensity, p.stain_model = kModelMacenko;
  const float macenko[6] = {1.25f, 0.8f, 0.1f, -0.2f, 2, -3.5f};
  std::copy_n(macenko, 6, p.stain_draw);
  EXPECT_EQ(Describe(p), "Macenko: H x1.25 +0.10 turned +2.0 deg, E x0.80 -0.20 turned -3.5 deg");
}

TEST(WritePreview, ShowsTheViewsThatTrainingDraws) {
  const testing::TempFolder folder;
  const Pictures source;
  ViewRecipe a = ViewRecipe::Preset("histology_randstainna"), b = ViewRecipe::Preset("byol_b");
  a.size = 24, b.size = 16;
  a.stain_probability = 1;
  const std::vector<ViewSampler> samplers = {ViewSampler(a), ViewSampler(b)};
  WritePreview(source, samplers, 9, 4, folder / "out");

  // 4 of 5 images, of which image 2 (at 2 * 5 / 4) is bad; 1 + 3 * 2 pictures a row, 4 px apart.
  const Image sheet = core::ReadRgb(folder / "out" / "views.png");
  EXPECT_EQ(sheet.width, 7 * 28 + 4);
  EXPECT_EQ(sheet.height, 3 * 28 + 4);
  // Row 1 is image 1; column 4 its second view b (epoch 2: 0-based 1).
  ViewScratch scratch;
  Image wanted(16, 16, 3);
  const core::PhiloxStream stream(9, core::DrawPurpose::kView, 1, 1, 1);
  ApplyView(source.Read(1), DrawView(b, stream, 40, 30), 16, wanted.pixels.data(), scratch);
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 16; ++x) {
      for (int c = 0; c < 3; ++c) {
        ASSERT_EQ(sheet.at(4 * 28 + 4 + x, 28 + 4 + y)[c], wanted.at(x, y)[c]);
      }
    }
  }
  const std::string page = core::ReadFile(folder / "out" / "views.html");
  for (const char* text : {"noise0", "noise3", "epoch 2, view b", "RandStainNA to LAB mean",
                           "1 of the images chosen did not decode", "stain_probability = 1.0",
                           "data:image/png;base64,"}) {
    EXPECT_THAT(page, ::testing::HasSubstr(text));
  }
}

TEST(WritePreview, RefusesWhatCannotBeShown) {
  const testing::TempFolder folder;
  const std::vector<ViewSampler> samplers = {ViewSampler(ViewRecipe::Preset("simclr_cifar"))};
  testing::ExpectError([&] { WritePreview(Pictures(), {}, 0, 4, folder / "x"); },
                       core::ExitCode::kUsage, "at least one view");
  testing::ExpectError([&] { WritePreview(Pictures(), samplers, 0, 0, folder / "x"); },
                       core::ExitCode::kUsage, "one image");
  testing::ExpectError([&] { WritePreview(Pictures(true), samplers, 0, 4, folder / "x"); },
                       core::ExitCode::kBadInput, "cut short");
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
}

}  // namespace
}  // namespace eosin::engine
