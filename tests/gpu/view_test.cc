// SPDX-License-Identifier: Apache-2.0
// Views on the GPU: the kernels against the CPU executor, and the three placements against each
// other and against the CPU's feed.
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <cstring>

#include "engine/augment/apply.h"
#include "engine/augment/view_sampler.h"
#include "engine/data/gpu_views.h"
#include "engine/data/view_feed.h"
#include "pretrain/bench/throughput.h"
#include "tests/testing.h"

namespace eosin {
namespace {

#define EOSIN_REQUIRE_GPU() \
  if (!at::hasCUDA()) GTEST_SKIP() << "needs a CUDA device"

const c10::Device kGpu("cuda:0");

at::Tensor OnGpu(const void* data, size_t bytes) {
  at::Tensor host = at::empty({static_cast<int64_t>(bytes)}, at::kByte);
  std::memcpy(host.data_ptr<uint8_t>(), data, bytes);
  return host.to(kGpu);
}

// Normalised values back to grey levels: (views, size, size, 3).
std::vector<uint8_t> LevelsOf(const at::Tensor& input) {
  const engine::Normalization normalization;
  const at::Tensor nhwc = input.cpu().permute({0, 2, 3, 1}).contiguous();
  const float* values = nhwc.data_ptr<float>();
  std::vector<uint8_t> levels(static_cast<size_t>(nhwc.numel()));
  for (size_t i = 0; i < levels.size(); ++i) {
    const float share = values[i] * normalization.std[i % 3] + normalization.mean[i % 3];
    levels[i] = static_cast<uint8_t>(share * 255.0f + 0.5f);
  }
  return levels;
}

class GpuPreset : public ::testing::TestWithParam<std::string> {};

TEST_P(GpuPreset, KernelsAgreeWithTheCpu) {
  EOSIN_REQUIRE_GPU();
  struct Case {
    int source, size;
    int64_t batch;
  };
  // 55 views of 224 pixels are a chunk: 64 of them take a second, partly filled launch.
  for (const Case& c : {Case{32, 32, 200}, {96, 96, 40}, {256, 224, 64}, {300, 64, 20}}) {
    engine::ViewNeeds needs;
    const int64_t chunk = engine::LayOut(c.batch, needs, c.size, c.size).chunk;
    ASSERT_EQ(chunk < c.batch, c.size == 224) << chunk;
    const auto source = pretrain::MakeNoiseSource(8, c.source);
    engine::ViewRecipe recipe = engine::ViewRecipe::Preset(GetParam());
    recipe.size = c.size;
    const engine::ViewSampler sampler(recipe);
    std::vector<engine::ViewParams> records;
    std::vector<int64_t> images;
    std::vector<uint8_t> pictures, expected;
    engine::ViewScratch scratch;
    for (int64_t i = 0; i < 8; ++i) {
      const core::Image image = source->Read(i);
      pictures.insert(pictures.end(), image.pixels.begin(), image.pixels.end());
    }
    for (int64_t i = 0; i < c.batch; ++i) {
      const core::Image image = source->Read(i % 8);
      engine::StainFacts facts(image, nullptr);
      records.push_back(
          sampler.Draw(core::PhiloxStream(4, core::DrawPurpose::kView, 0, static_cast<uint32_t>(i)),
                       image.width, image.height, &facts));
      images.push_back(i % 8);
      std::vector<uint8_t> view(static_cast<size_t>(3 * c.size * c.size));
      engine::ApplyView(image, records.back(), c.size, view.data(), scratch);
      expected.insert(expected.end(), view.begin(), view.end());
    }
    const at::Tensor on_gpu = OnGpu(pictures.data(), pictures.size());
    const at::Tensor records_on_gpu =
        OnGpu(records.data(), records.size() * sizeof(engine::ViewParams));
    const at::Tensor images_on_gpu = OnGpu(images.data(), images.size() * sizeof(int64_t));
    auto make = [&] {
      return engine::MakeGpuViews(
          on_gpu.data_ptr<uint8_t>(), {c.source, c.source}, records,
          reinterpret_cast<const engine::ViewParams*>(records_on_gpu.data_ptr<uint8_t>()),
          reinterpret_cast<const int64_t*>(images_on_gpu.data_ptr<uint8_t>()), c.batch,
          {{c.size, 1, nullptr}}, kGpu, {})[0];
    };
    const at::Tensor views = make();
    ASSERT_TRUE(views.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(views.equal(make())) << "the same records give the same bits";
    const std::vector<uint8_t> ours = LevelsOf(views);
    ASSERT_EQ(ours.size(), expected.size());
    int worst = 0;
    for (size_t i = 0; i < ours.size(); ++i) {
      worst = std::max(worst, std::abs(int{ours[i]} - int{expected[i]}));
    }
    EXPECT_LE(worst, 1) << c.source << " to " << c.size;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GpuPreset, ::testing::ValuesIn(engine::ViewRecipe::PresetNames()));

// Two epochs of a multi-crop feed, with more batches than there are slots.
std::vector<engine::ViewBatch> Collect(const std::string& placement, const engine::Compute& compute,
                                       const engine::ImageSource& source) {
  engine::ViewRecipe global = engine::ViewRecipe::Preset("simclr");
  global.size = 64;
  engine::ViewRecipe local = global;
  local.size = 32;
  engine::FeedOptions options;
  options.loader.batch = 8;
  options.loader.seed = 3;
  options.placement = placement;
  const auto feed =
      engine::MakeViewFeed(source, {global, global, local, local, local}, options, compute);
  std::vector<engine::ViewBatch> batches;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    feed->StartEpoch(epoch, epoch * 2);
    while (auto batch = feed->Next()) batches.push_back(std::move(*batch));
  }
  return batches;
}

TEST(GpuFeed, PlacementsGiveTheSameBatches) {
  EOSIN_REQUIRE_GPU();
  const auto source = pretrain::MakeNoiseSource(64, 72);
  const auto reference = Collect("auto", engine::Compute{}, *source);
  ASSERT_EQ(reference.size(), 8u + 6u);
  engine::Compute compute;
  compute.device = kGpu;
  for (const char* placement : {"resident", "streamed", "host", "auto"}) {
    const auto batches = Collect(placement, compute, *source);
    ASSERT_EQ(batches.size(), reference.size()) << placement;
    for (size_t b = 0; b < batches.size(); ++b) {
      EXPECT_EQ(batches[b].indices, reference[b].indices);
      EXPECT_EQ(batches[b].step, reference[b].step);
      for (size_t g = 0; g < 2; ++g) {
        ASSERT_TRUE(batches[b].groups[g].device().is_cuda());
        const auto ours = LevelsOf(batches[b].groups[g]);
        const auto theirs = LevelsOf(reference[b].groups[g]);
        ASSERT_EQ(ours.size(), theirs.size());
        int worst = 0;
        for (size_t i = 0; i < ours.size(); ++i) {
          worst = std::max(worst, std::abs(int{ours[i]} - int{theirs[i]}));
        }
        EXPECT_LE(worst, 1) << placement << ", batch " << b << ", group " << g;
      }
    }
  }
}

}  // namespace
}  // namespace eosin
