// SPDX-License-Identifier: Apache-2.0
#include "engine/data/view_feed.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include "engine/augment/apply.h"
#include "engine/augment/view_sampler.h"
#include "engine/data/placement.h"
#include "engine/kernels/normalize.h"
#include "tests/engine/fake_source.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

using engine::testing::FakeSource;
using eosin::testing::ExpectError;

ViewRecipe RecipeOf(int64_t size) {
  ViewRecipe recipe = ViewRecipe::Preset("simclr_cifar");
  recipe.size = size;
  return recipe;
}

FeedOptions Options(int64_t batch, int64_t workers = 2) {
  FeedOptions options;
  options.loader.batch = batch;
  options.loader.workers = workers;
  options.loader.seed = 5;
  return options;
}

// Two global views and three local crops.
const std::vector<ViewRecipe>& Crops() {
  static const std::vector<ViewRecipe> kCrops = {RecipeOf(16), RecipeOf(16), RecipeOf(8),
                                                 RecipeOf(8), RecipeOf(8)};
  return kCrops;
}

TEST(ViewFeed, GroupsHoldTheNormalisedViewsOfTheRecords) {
  at::set_num_threads(1);
  const FakeSource source(10);
  const auto feed = MakeViewFeed(source, Crops(), Options(4), Compute{});
  ASSERT_EQ(feed->steps_per_epoch(), 2);
  feed->StartEpoch(3);
  const auto batch = feed->Next();
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->size(), 4);
  ASSERT_EQ(batch->groups.size(), 2u);
  EXPECT_EQ(batch->groups[0].sizes(), at::IntArrayRef({8, 3, 16, 16}));
  EXPECT_EQ(batch->groups[1].sizes(), at::IntArrayRef({12, 3, 8, 8}));
  const Normalization normalization;
  const auto constants =
      MakeNormalizeConstants(normalization.mean.data(), normalization.std.data());
  ViewScratch scratch;
  for (size_t v = 0; v < Crops().size(); ++v) {
    const size_t group = v < 2 ? 0 : 1;
    const at::Tensor& tensor = batch->groups[group];
    ASSERT_TRUE(tensor.is_contiguous(at::MemoryFormat::ChannelsLast));
    const int64_t size = Crops()[v].size, first = static_cast<int64_t>(v - 2 * group) * 4;
    std::vector<uint8_t> bytes(static_cast<size_t>(size * size * 3));
    for (int64_t n = 0; n < 4; ++n) {
      const int64_t index = batch->indices[static_cast<size_t>(n)];
      EXPECT_EQ(batch->labels[static_cast<size_t>(n)], index % 3);
      const core::Image image = source.Picture(index);
      const core::PhiloxStream stream(5, core::DrawPurpose::kView, 3, static_cast<uint32_t>(index),
                                      static_cast<uint32_t>(v));
      ApplyView(image, DrawView(Crops()[v], stream, image.width, image.height),
                static_cast<int>(size), bytes.data(), scratch);
      const float* values = tensor.data_ptr<float>() + (first + n) * size * size * 3;
      for (size_t i = 0; i < bytes.size(); ++i) {
        ASSERT_EQ(values[i], NormalizeValue(bytes[i], static_cast<int>(i % 3), constants));
      }
    }
  }
}

TEST(ViewFeed, BatchesOutliveTheFeedAndEndWithTheEpoch) {
  at::set_num_threads(1);
  const FakeSource source(23);
  std::vector<ViewBatch> kept;
  {
    const auto feed = MakeViewFeed(source, Crops(), Options(4, 1), Compute{});
    EXPECT_FALSE(feed->Next());  // no epoch yet
    feed->StartEpoch(0);
    while (auto batch = feed->Next()) kept.push_back(std::move(*batch));
    EXPECT_FALSE(feed->Next());
    EXPECT_EQ(feed->bad_count(), 0);
    EXPECT_GE(feed->wait_seconds(), 0);
    EXPECT_THAT(feed->Describe(), ::testing::HasSubstr("workers"));
  }
  ASSERT_EQ(kept.size(), 5u);
  // Another number of workers, begun in the middle: the same tensors, bit for bit.
  const auto feed = MakeViewFeed(source, Crops(), Options(4, 3), Compute{});
  feed->StartEpoch(0, 2);
  for (size_t step = 2; step < kept.size(); ++step) {
    const auto batch = feed->Next();
    ASSERT_TRUE(batch);
    EXPECT_EQ(batch->step, static_cast<int64_t>(step));
    EXPECT_EQ(batch->indices, kept[step].indices);
    for (size_t g = 0; g < 2; ++g) EXPECT_TRUE(batch->groups[g].equal(kept[step].groups[g]));
  }
}

TEST(ViewFeed, PlacementsOfTheGpuAreRefusedOnTheCpu) {
  const FakeSource source(10);
  FeedOptions options = Options(4);
  options.placement = "resident";
  ExpectError([&] { MakeViewFeed(source, Crops(), options, Compute{}); }, core::ExitCode::kUsage,
              "needs a GPU");
  options.placement = "nowhere";
  ExpectError([&] { MakeViewFeed(source, Crops(), options, Compute{}); }, core::ExitCode::kUsage,
              "unknown placement nowhere");
  options.placement = "host";
  EXPECT_TRUE(MakeViewFeed(source, Crops(), options, Compute{}));
}

TEST(Placement, ByWhatFits) {
  const int64_t gigabyte = 1'000'000'000;
  PlacementFacts cifar{.images = 50'000,
                       .width = 32,
                       .height = 32,
                       .largest_view = 32,
                       .gpu_free = 78 * gigabyte,
                       .gpu_total = 80 * gigabyte};
  EXPECT_EQ(cifar.set_bytes(), 153'600'000);
  EXPECT_EQ(ChoosePlacement("auto", 0.25, cifar), Placement::kResident);
  EXPECT_EQ(ChoosePlacement("streamed", 0.25, cifar), Placement::kStreamed);
  EXPECT_EQ(ChoosePlacement("host", 0.25, cifar), Placement::kHost);

  PlacementFacts tiles = cifar;  // 26 GB
  tiles.images = 130'000;
  tiles.width = tiles.height = 256;
  tiles.largest_view = 224;
  EXPECT_EQ(ChoosePlacement("auto", 0.25, tiles), Placement::kStreamed);
  EXPECT_EQ(ChoosePlacement("auto", 0.5, tiles), Placement::kResident);
  EXPECT_EQ(ChoosePlacement("resident", 0.25, tiles), Placement::kResident);
  tiles.gpu_free = 30 * gigabyte;  // another program holds the rest
  EXPECT_EQ(ChoosePlacement("auto", 0.5, tiles), Placement::kStreamed);
  tiles.gpu_free = 20 * gigabyte;
  ExpectError([&] { ChoosePlacement("resident", 0.25, tiles); }, core::ExitCode::kMachine,
              "take 25.56 GB and the GPU has 20.00 GB free");
  // A tenth of the GPU stays free for the step.
  tiles.gpu_free = tiles.set_bytes() + 8 * gigabyte;
  EXPECT_EQ(ChoosePlacement("resident", 0.25, tiles), Placement::kResident);
  --tiles.gpu_free;
  ExpectError([&] { ChoosePlacement("resident", 0.25, tiles); }, core::ExitCode::kMachine,
              "of which training needs 8.00 GB");

  PlacementFacts mixed = cifar;
  mixed.width = mixed.height = 0;
  EXPECT_EQ(ChoosePlacement("auto", 0.25, mixed), Placement::kHost);
  ExpectError([&] { ChoosePlacement("streamed", 0.25, mixed); }, core::ExitCode::kUsage,
              "images of one size");
  PlacementFacts large = cifar;
  large.largest_view = 4096;
  EXPECT_EQ(ChoosePlacement("auto", 0.25, large), Placement::kHost);
  ExpectError([&] { ChoosePlacement("resident", 0.25, large); }, core::ExitCode::kUsage, "4096");
}

}  // namespace
}  // namespace eosin::engine
