// SPDX-License-Identifier: Apache-2.0
#include "segment/data/crop_plan.h"

#include <cmath>
#include <map>

#include "segment/data/class_index.h"
#include "segment/data/crops.h"
#include "tests/segment/made_data.h"

namespace eosin::segment {
namespace {

using testing::ExpectError;
using testing::TempFolder;

TEST(IndexClasses, CountsAndPlaces) {
  core::Image mask(5, 2, 1, 0);
  mask.pixels = {0, 1, 1, 255, 2, 0, 0, 255, 0, 2};
  const ImageClasses index = IndexClasses(mask, 4, 0);
  EXPECT_THAT(index.pixels, ::testing::ElementsAre(4, 2, 2, 0));
  EXPECT_EQ(index.ignored, 2);
  EXPECT_THAT(index.centres[0], ::testing::ElementsAre(0, 5, 6, 8));
  EXPECT_THAT(index.centres[1], ::testing::ElementsAre(1, 2));
  EXPECT_THAT(index.centres[2], ::testing::ElementsAre(4, 9));
  EXPECT_TRUE(index.centres[3].empty());
}

// A large mask: few places, all of the class, one in each stretch of it.
TEST(IndexClasses, LargeMasksAreSampledEvenly) {
  core::Image mask(400, 300, 1, 0);
  for (size_t i = 0; i < mask.pixels.size(); ++i) mask.pixels[i] = i % 3 == 0;
  const ImageClasses index = IndexClasses(mask, 2, 7);
  for (int c = 0; c < 2; ++c) {
    const auto& centres = index.centres[static_cast<size_t>(c)];
    ASSERT_EQ(centres.size(), static_cast<size_t>(kCentres));
    for (size_t k = 0; k < centres.size(); ++k) {
      EXPECT_EQ(mask.pixels[centres[k]], c);
      const double stretch = 400.0 * 300 / kCentres;
      EXPECT_GE(centres[k] + 3.0, stretch * static_cast<double>(k));
      EXPECT_LE(centres[k] - 3.0, stretch * static_cast<double>(k + 1));
    }
  }
  EXPECT_EQ(IndexClasses(mask, 2, 7).centres, index.centres);
  EXPECT_NE(IndexClasses(mask, 2, 8).centres, index.centres);
}

// Image i of five: class 1 is a 2 x 2 spot in the corner, in images 3 and 4 class 2 another.
class CropPlanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    core::MakeFolder(temp_ / "images");
    core::MakeFolder(temp_ / "masks");
    for (int i = 0; i < 5; ++i) {
      core::Image image(60, 40, 3, 0), mask(60, 40, 1, 0);
      for (const int at : {0, 1, 60, 61}) mask.pixels[static_cast<size_t>(at)] = 1;
      for (const int at : {38 * 60 + 58, 39 * 60 + 59}) {
        if (i >= 3) mask.pixels[static_cast<size_t>(at)] = 2;
      }
      for (int y = 0; y < 40; ++y) {
        for (int x = 0; x < 60; ++x) {
          image.at(x, y)[0] = static_cast<uint8_t>(mask.row(y)[x] * 100);
        }
      }
      testing::WritePng(temp_ / ("images/a" + std::to_string(i) + ".png"), image);
      testing::WritePng(temp_ / ("masks/a" + std::to_string(i) + ".png"), mask);
    }
    options_.data.data = temp_.path().string();
    options_.data.groups = "image";
    options_.data.classes = {"background", "spot", "rare"};
    options_.crop = 16;
    options_.batch = 4;
    options_.jitter = options_.hed = options_.blur = 0;
    options_.scale_min = options_.scale_max = 1;
    data_ = std::make_unique<MaskDataset>(options_.data);
  }
  uint8_t ClassAt(int64_t index, uint32_t centre) const {
    return data_->Read(index)->mask.pixels[centre];
  }
  TempFolder temp_;
  SegmentOptions options_;
  std::unique_ptr<MaskDataset> data_;
  const std::vector<int64_t> train_ = {0, 1, 2, 3, 4};
};

TEST_F(CropPlanTest, UniformUnlessAsked) {
  const CropPlan plan(*data_, train_, options_);
  EXPECT_EQ(plan.Indices(3), BatchIndices(train_, 4, 0, 3));
  for (int64_t slot = 0; slot < 4; ++slot) EXPECT_FALSE(plan.Centre(3, slot, 1));
}

TEST_F(CropPlanTest, ForegroundShare) {
  options_.data.crop_foreground = 0.33;
  const CropPlan plan(*data_, train_, options_);
  EXPECT_EQ(plan.Indices(3), BatchIndices(train_, 4, 0, 3));  // the images stay as they come
  int centred = 0;
  std::map<int, int> classes;
  const int draws = 3000;
  for (int64_t step = 0; step < draws; ++step) {
    if (const auto centre = plan.Centre(step, step % 4, 4)) {
      ++centred;
      ++classes[ClassAt(4, *centre)];
    }
  }
  EXPECT_NEAR(centred, 0.33 * draws, 4 * std::sqrt(0.33 * 0.67 * draws));
  EXPECT_FALSE(classes.contains(0));
  // Classes that the image has are drawn alike, though one has twice the pixels.
  EXPECT_NEAR(classes[1], centred / 2.0, 4 * std::sqrt(centred / 4.0));
}

TEST_F(CropPlanTest, EveryCentredCropHoldsItsPixelAndGeometryIsPaired) {
  options_.data.crop_foreground = 1.0;
  for (int64_t step = 0; step < 40; ++step) {
    const CropBatch batch = MakeCrops(*data_, train_, options_, step);
    for (size_t slot = 0; slot < 4; ++slot) {
      int foreground = 0;
      for (size_t i = slot * 256; i < (slot + 1) * 256; ++i) {
        foreground += batch.masks[i] > 0;
        ASSERT_EQ(batch.images[3 * i], batch.masks[i] * 100);
      }
      EXPECT_GT(foreground, 0);
    }
  }
}

TEST_F(CropPlanTest, CentreLiesInTheMiddleWhereThereIsRoom) {
  const auto middle = DrawCrop(options_, 0, 0, 60, 40, 20 * 60 + 30);
  EXPECT_EQ(middle.crop_x, 30 - 8);
  EXPECT_EQ(middle.crop_y, 20 - 8);
  const auto corner = DrawCrop(options_, 0, 0, 60, 40, 39 * 60 + 59);
  EXPECT_EQ(corner.crop_x, 60 - 16);
  EXPECT_EQ(corner.crop_y, 40 - 16);
  EXPECT_EQ(DrawCrop(options_, 0, 0, 60, 40, 0).crop_x, 0);
}

TEST_F(CropPlanTest, BalancedClasses) {
  const int draws = 3000;
  const auto shares = [&](const std::string& balance) {
    options_.data.crop_balance = balance;
    const CropPlan plan(*data_, train_, options_);
    std::map<int, int> classes;
    for (int64_t step = 0; step < draws / 4; ++step) {
      const auto indices = plan.Indices(step);
      for (int64_t slot = 0; slot < 4; ++slot) {
        const int64_t index = indices[static_cast<size_t>(slot)];
        const auto centre = plan.Centre(step, slot, index);
        EXPECT_TRUE(centre);
        const int c = ClassAt(index, *centre);
        if (c == 2) {
          EXPECT_GE(index, 3);  // images that lack the class are passed over
        }
        ++classes[c];
      }
    }
    return classes;
  };
  auto equal = shares("equal");
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(equal[c], draws / 3, 4 * std::sqrt(draws * 2.0 / 9));
  // Pixels: 20 spots, 4 rare, the rest of 5 * 2400 background.
  const double roots[] = {std::sqrt(12000.0 - 24), std::sqrt(20.0), std::sqrt(4.0)};
  const double total = roots[0] + roots[1] + roots[2];
  auto root = shares("sqrt");
  for (int c = 0; c < 3; ++c) {
    const double p = roots[c] / total;
    EXPECT_NEAR(root[c], p * draws, 4 * std::sqrt(draws * p * (1 - p)) + 1) << c;
  }
}

TEST_F(CropPlanTest, DrawsDependOnSeedStepAndSlotAlone) {
  options_.data.crop_balance = "equal";
  SegmentOptions other = options_;
  other.workers = 3;
  const CropBatch a = MakeCrops(*data_, train_, options_, 5);
  const CropBatch b = MakeCrops(*data_, train_, other, 5);
  EXPECT_EQ(a.indices, b.indices);
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.masks, b.masks);
  other.seed = 9;
  EXPECT_NE(MakeCrops(*data_, train_, other, 5).masks, a.masks);
  EXPECT_NE(MakeCrops(*data_, train_, options_, 6).masks, a.masks);
}

TEST_F(CropPlanTest, NothingToTrainOn) {
  ExpectError([&] { CropPlan(*data_, {}, options_).Indices(0); }, core::ExitCode::kBadInput,
              "no image");
}

}  // namespace
}  // namespace eosin::segment
