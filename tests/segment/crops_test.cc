// SPDX-License-Identifier: Apache-2.0
#include "segment/data/crops.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "segment/data/contours.h"
#include "tests/segment/made_data.h"

namespace eosin::segment {
namespace {

TEST(BatchIndices, EpochsInFullBatches) {
  const std::vector<int64_t> train = {10, 11, 12, 13, 14};
  std::vector<int64_t> all;
  for (int64_t step = 0; step < 5; ++step) {
    const auto batch = BatchIndices(train, 4, 3, step);
    ASSERT_EQ(batch.size(), 4u);  // never a remainder, so never a batch of one
    all.insert(all.end(), batch.begin(), batch.end());
  }
  for (int epoch = 0; epoch < 4; ++epoch) {  // 20 indices are 4 epochs, each a permutation
    std::vector<int64_t> part(all.begin() + 5 * epoch, all.begin() + 5 * (epoch + 1));
    EXPECT_TRUE(std::is_permutation(part.begin(), part.end(), train.begin()));
  }
  EXPECT_EQ(BatchIndices({7}, 4, 0, 9), (std::vector<int64_t>{7, 7, 7, 7}));
  EXPECT_NE(BatchIndices(train, 5, 1, 0), BatchIndices(train, 5, 2, 0));
}

class CropsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeMaskData(temp_.path(), 3, 2, 40);
    options_.data.data = temp_.path().string();
    options_.crop = 32;
    options_.batch = 4;
    options_.steps = 3;
    data_ = std::make_unique<MaskDataset>(options_.data);
  }
  testing::TempFolder temp_;
  SegmentOptions options_;
  std::unique_ptr<MaskDataset> data_;
};

TEST_F(CropsTest, MaskFollowsTheImage) {
  options_.jitter = options_.hed = options_.blur = 0;
  options_.scale_min = options_.scale_max = 1;
  // Discs are dark (red below 130) on light (red above 210): at scale 1 the crop is a copy.
  for (int64_t step = 0; step < 8; ++step) {
    const CropBatch batch = MakeCrops(*data_, {0, 1, 2, 3, 4, 5}, options_, step);
    ASSERT_EQ(batch.masks.size(), 4u * 32 * 32);
    for (size_t i = 0; i < batch.masks.size(); ++i) {
      ASSERT_EQ(batch.masks[i] == 1, batch.images[3 * i] < 150)
          << "step " << step << " pixel " << i;
    }
  }
}

TEST_F(CropsTest, SameInEveryArmAndAtAnyNumberOfWorkers) {
  SegmentOptions other = options_;
  other.init = "weights.pth";
  other.freeze = "layer2";
  other.backbone_lr = 1;
  other.workers = 3;
  options_.workers = 1;
  CropLoader a(*data_, {0, 1, 2}, options_), b(*data_, {0, 1, 2}, other);
  for (int step = 0; step < 3; ++step) {
    const CropBatch x = a.Next(), y = b.Next();
    EXPECT_EQ(x.step, step);
    EXPECT_EQ(x.indices, y.indices);
    EXPECT_EQ(x.images, y.images);
    EXPECT_EQ(x.masks, y.masks);
  }
  other.seed = 1;
  EXPECT_NE(MakeCrops(*data_, {0, 1, 2}, other, 0).images,
            MakeCrops(*data_, {0, 1, 2}, options_, 0).images);
}

// At any magnification, reduced crops that reach over the edge (0.5: 64 px of 40) included: where
// the mask is of one class all around, so is the image.
TEST_F(CropsTest, MaskFollowsTheImageAtOtherScales) {
  options_.jitter = options_.hed = options_.blur = 0;
  for (const double scale : {0.5, 0.8, 1.3, 2.0}) {
    options_.scale_min = options_.scale_max = scale;
    int64_t inside = 0, outside = 0, wrong = 0;
    for (int64_t step = 0; step < 8; ++step) {
      const CropBatch batch = MakeCrops(*data_, {0, 1, 2, 3, 4, 5}, options_, step);
      for (size_t slot = 0; slot < 4; ++slot) {
        const uint8_t* mask = &batch.masks[slot * 32 * 32];
        const uint8_t* image = &batch.images[slot * 32 * 32 * 3];
        for (int y = 0; y < 32; ++y) {
          for (int x = 0; x < 32; ++x) {
            const int at = y * 32 + x;
            const bool dark = image[3 * at] < 170;  // half way between disc and ground
            wrong += dark != (mask[at] == 1);
            if (x < 2 || y < 2 || x > 29 || y > 29) continue;
            int ones = 0;
            for (int k = 0; k < 25; ++k) ones += mask[at + (k / 5 - 2) * 32 + k % 5 - 2] == 1;
            if (ones % 25 != 0) continue;
            (ones ? inside : outside) += 1;
            ASSERT_EQ(dark, ones == 25) << "scale " << scale << " step " << step << " pixel " << at;
          }
        }
      }
    }
    EXPECT_GT(inside, 300) << scale;
    EXPECT_GT(outside, 300) << scale;
    EXPECT_LT(wrong, 8 * 4 * 32 * 32 / 25) << scale;
  }
}

TEST_F(CropsTest, LargerThanTheImageKeepsItsScale) {
  options_.crop = 64;  // of 40 px images: mirrored at the edges, not enlarged
  options_.jitter = options_.hed = options_.blur = 0;
  options_.scale_min = options_.scale_max = 1;
  std::set<float> places;
  int compared = 0;
  for (int64_t step = 0; step < 12; ++step) {
    const CropBatch batch = MakeCrops(*data_, {0, 1, 2, 3}, options_, step);
    for (int64_t slot = 0; slot < 4; ++slot) {
      const auto view = DrawCrop(options_, step, slot, 40, 40);
      ASSERT_EQ(view.crop_w, 64);
      ASSERT_LE(view.crop_x, 0);
      ASSERT_GE(view.crop_x, -24);
      places.insert(view.crop_x);
      if (view.hflip || view.vflip || view.rot90) continue;
      ++compared;
      const auto pair = data_->Read(batch.indices[static_cast<size_t>(slot)]);
      const auto mirrored = [](int i) { return i < 0 ? -i : i >= 40 ? 78 - i : i; };
      for (int y = 0; y < 64; ++y) {
        for (int x = 0; x < 64; ++x) {
          const int from_x = mirrored(x + static_cast<int>(view.crop_x));
          const int from_y = mirrored(y + static_cast<int>(view.crop_y));
          const size_t at = static_cast<size_t>(slot * 64 * 64 + y * 64 + x);
          ASSERT_EQ(batch.masks[at], pair->mask.row(from_y)[from_x]);
          ASSERT_EQ(batch.images[3 * at], pair->image.at(from_x, from_y)[0]);
        }
      }
    }
  }
  EXPECT_GT(compared, 0);
  EXPECT_GT(places.size(), 8u);
  const auto centred = DrawCrop(options_, 0, 0, 40, 100, 5 * 40 + 20);
  EXPECT_EQ(centred.crop_x, -12);  // 20 - 32
  EXPECT_EQ(centred.crop_y, 0);
}

// The draws of images that hold the crop, as they were before crops could reach over the edge.
TEST_F(CropsTest, PlacesOfLargerImagesStay) {
  options_.scale_min = options_.scale_max = 1;
  for (int64_t slot = 0; slot < 20; ++slot) {
    core::PhiloxStream place(static_cast<uint64_t>(options_.seed), core::DrawPurpose::kView, 3,
                             static_cast<uint32_t>(slot), 1);
    place.Uniform();  // the scale
    const auto view = DrawCrop(options_, 3, slot, 57, 41);
    EXPECT_EQ(view.crop_x, std::floor(place.Uniform() * 26));
    EXPECT_EQ(view.crop_y, std::floor(place.Uniform() * 10));
  }
}

TEST_F(CropsTest, StaysInside) {
  for (int64_t slot = 0; slot < 200; ++slot) {
    const auto view = DrawCrop(options_, 1, slot, 57, 41);
    EXPECT_GE(view.crop_x, 0);
    EXPECT_GE(view.crop_y, 0);
    EXPECT_LE(view.crop_x + view.crop_w, 57);
    EXPECT_LE(view.crop_y + view.crop_h, 41);
    EXPECT_EQ(view.crop_w, view.crop_h);
  }
}

TEST_F(CropsTest, ErrorsReachTheTrainingLoop) {
  testing::fs::remove(temp_ / "images/p0_0.png");
  CropLoader loader(*data_, {0}, options_);
  testing::ExpectError([&] { loader.Next(); }, core::ExitCode::kBadInput, "p0_0.png");
}

TEST(TapsInside, MatchesTheReference) {
  // Mean share of the nine taps inside the map: reference figures .77, .25, .11.
  EXPECT_NEAR(TapsInside(64, 12), 0.766, 0.001);
  EXPECT_NEAR(TapsInside(32, 24), 0.25, 0.001);
  EXPECT_NEAR(TapsInside(16, 24), 1.0 / 9, 1e-12);
  SegmentOptions options;
  options.crop = 256;
  options.rates = {12, 24, 36};
  EXPECT_EQ(Warnings(options).size(), 2u);  // 16 x 16 map: 12 keeps .25, 24 and 36 are 1x1
  options.rates = {2, 4, 6};
  EXPECT_TRUE(Warnings(options).empty());
}

TEST(Rates, FollowTheMapUnlessGiven) {
  SegmentOptions options;
  auto expect = [&](int64_t crop, int64_t stride, std::vector<int64_t> rates) {
    options.crop = crop;
    options.output_stride = stride;
    EXPECT_EQ(options.Rates(), rates) << crop << " px at " << stride;
  };
  expect(512, 8, {12, 24, 36});  // torchvision's
  expect(512, 16, {6, 12, 18});  // google's for stride 16
  expect(256, 16, {3, 6, 9});
  expect(64, 8, {2, 3, 5});
  expect(32, 16, {1, 2, 3});
  expect(264, 16, {3, 6, 10});  // on a 17 x 17 map: the last column of crops counts
  options.crop = 264;
  EXPECT_EQ(options.MapSize(), 17);
  options.crop = 32;
  EXPECT_EQ(Warnings(options).size(), 2u);  // on a 2 x 2 map 2 and 3 are 1x1 all the same
  options.crop = 256;
  EXPECT_TRUE(Warnings(options).empty());
  options.rates = {12, 24, 36};
  expect(256, 16, {12, 24, 36});
}

TEST(SegmentOptions, Check) {
  auto check = [](auto change, const std::string& text) {
    SegmentOptions options;
    change(options);
    testing::ExpectError([&] { options.Check(); }, core::ExitCode::kUsage, text);
  };
  EXPECT_NO_THROW(SegmentOptions().Check());
  check([](auto& o) { o.output_stride = 12; }, "output_stride");
  check([](auto& o) { o.rates = {1, 2}; }, "three whole numbers");
  check([](auto& o) { o.loss.ce = o.loss.dice = 0; }, "all 0");
  check([](auto& o) { o.stage_lr = {1, 1}; }, "train.stage_lr has 2 numbers");
  check([](auto& o) { o.unfreeze_at = 0.2; }, "unfreezes nothing");
  check(
      [](auto& o) {
        o.freeze = "layer1";
        o.unfreeze_to = "layer2";
        o.unfreeze_at = 0.5;
      },
      "unfreezes nothing");
  check(
      [](auto& o) {
        o.freeze = "all";
        o.unfreeze_to = "layer4";  // the same
        o.unfreeze_at = 0.5;
      },
      "unfreezes nothing");
  for (const auto& [share, what] : {std::pair{0.04, "is step 0: nothing is ever frozen"},
                                    std::pair{0.96, "is step 10: nothing is ever unfrozen"}}) {
    check(
        [share = share](auto& o) {
          o.freeze = "all";
          o.unfreeze_at = share;
          o.steps = 10;
        },
        what);
  }
  check([](auto& o) { o.steps = 104, o.warmup = 21; }, "train.warmup = 21 is more than a fifth");
  {
    SegmentOptions options;
    options.steps = 104;
    options.warmup = 20;
    options.freeze = "all";
    options.unfreeze_at = 0.01;  // step 1
    EXPECT_NO_THROW(options.Check());
    EXPECT_EQ(options.UnfreezeStep(), 1);
  }
  check(
      [](auto& o) {
        o.schedule = "one-cycle";
        o.warmup = 10;
      },
      "one-cycle");
  check([](auto& o) { o.cache_features = true; }, "fixed crops");
  check([](auto& o) { o.class_weights = "1,2,3"; }, "list of 2 weights");
  check([](auto& o) { o.init_part = "all"; }, "without a weights file");
  check(
      [](auto& o) {
        o.head = "deeplabv3plus";
        o.output_stride = 32;
      },
      "output stride 32");
  check(
      [](auto& o) {
        o.head = "deeplabv3plus";
        o.aux = true;
      },
      "model.aux");
  check([](auto& o) { o.scale_min = 2; }, "scale_min");
  check([](auto& o) { o.crop = 100; }, "multiple of 8");
}

TEST(Contours, OutlineOnlyWhereClassesMeet) {
  core::Image image(20, 20, 3, 200), mask(20, 20, 1, 0);
  for (int y = 5; y < 15; ++y) std::fill_n(mask.row(y) + 5, 10, uint8_t{1});
  const core::Image out = DrawContours(image, mask, 0, 20);
  auto painted = [&](int x, int y) { return out.at(x, y)[0] != 200 || out.at(x, y)[2] != 200; };
  EXPECT_FALSE(painted(1, 1));
  EXPECT_FALSE(painted(10, 10));
  EXPECT_TRUE(painted(5, 10));
  EXPECT_TRUE(painted(10, 14));
  EXPECT_FALSE(painted(4, 10));
}

}  // namespace
}  // namespace eosin::segment
