// SPDX-License-Identifier: Apache-2.0
// The functions of the CUDA executor of view records, run by host loops block by block and thread
// by thread, against hand-computed values and the CPU executor. tests/gpu runs the kernels
// themselves.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/base/philox.h"
#include "core/image/resample.h"
#include "core/stain/color_stats.h"
#include "core/stain/stain_jitter.h"
#include "engine/augment/apply.h"
#include "engine/augment/draw.h"
#include "engine/augment/view_sampler.h"
#include "engine/kernels/views.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

struct HostLoop {
  template <typename Phase>
  void operator()(const Phase& phase) const {
    for (int thread = 0; thread < kernel::kThreads; ++thread) phase(thread);
  }
};

struct ByteSink {
  uint8_t* view;
  void operator()(int64_t at, int, uint8_t level) const { view[at] = level; }
};

// LaunchViews with loops in the place of grids.
std::vector<uint8_t> RunOnHost(const std::vector<core::Image>& pictures,
                               const std::vector<ViewParams>& records,
                               const std::vector<int64_t>& record_images, int out_width,
                               int out_height) {
  const int64_t views = static_cast<int64_t>(records.size());
  const kernel::PictureSize picture = {pictures[0].width, pictures[0].height};
  const ViewNeeds needs =
      NeedsOf(records.data(), views, picture.width, picture.height, out_width, out_height);
  const ViewLayout layout = LayOut(views, needs, out_width, out_height);
  std::vector<uint8_t> out(static_cast<size_t>(views * layout.view_values));
  // One view a turn: on the GPU the views of a chunk share nothing but the launch.
  kernel::ViewPlan plan{};
  std::vector<int> start(2 * static_cast<size_t>(layout.side), -1);
  std::vector<float> weights(start.size() * static_cast<size_t>(layout.max_taps), NAN);
  std::vector<float> scratch(static_cast<size_t>(layout.view_values), NAN);
  std::vector<float> luma_sums(static_cast<size_t>(layout.blocks), NAN);
  std::vector<float> rows(3 * static_cast<size_t>(std::max(layout.side, kernel::kBlockPixels)));
  std::vector<float> sums(kernel::kThreads);
  const kernel::ViewTables tables = {start.data(), weights.data(), layout.side, layout.max_taps};
  const kernel::BlockMemory memory = {rows.data(), sums.data(), scratch.data(), luma_sums.data()};
  for (int64_t v = 0; v < views; ++v) {
    const auto& source = pictures[static_cast<size_t>(record_images[static_cast<size_t>(v)])];
    const ByteSink sink = {out.data() + v * layout.view_values};
    kernel::PreparePass(HostLoop{}, records[static_cast<size_t>(v)], source.pixels.data(), picture,
                        {out_width, out_height}, layout.side, layout.max_taps, &plan, start.data(),
                        weights.data());
    for (int b = 0; b < layout.blocks; ++b) {
      kernel::FirstPass(HostLoop{}, plan, tables, b, memory, sink);
    }
    if (needs.contrast) {
      for (int b = 0; b < layout.blocks; ++b) {
        kernel::SecondPass(HostLoop{}, plan, b, memory, sink);
      }
    }
    if (needs.blur) {
      for (int b = 0; b < layout.blocks; ++b) {
        kernel::ThirdPass(HostLoop{}, plan, b, memory, sink);
      }
    }
  }
  return out;
}

// Smooth stains with grain and sharp edges: every operation has something to act upon.
core::Image MakeTile(int width, int height, uint32_t seed) {
  core::Image image(width, height, 3);
  core::PhiloxStream noise(seed, core::DrawPurpose::kTest, 0, 0);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double wave = std::sin(0.21 * x + seed) * std::cos(0.17 * y);
      const bool edge = (x / 9 + y / 13) % 5 == 0;
      const double base[3] = {190 + 50 * wave, 120 + 90 * wave, 170 + 60 * wave};
      for (int c = 0; c < 3; ++c) {
        const double v = (edge ? 255 - base[c] : base[c]) + noise.Uniform(-20, 20);
        image.at(x, y)[c] = static_cast<uint8_t>(std::min(255.0, std::max(0.0, v)));
      }
    }
  }
  return image;
}

struct Difference {
  int worst = 0;
  double share = 0;  // of the values that differ at all
};

Difference Compare(const std::vector<core::Image>& pictures, const std::vector<ViewParams>& records,
                   const std::vector<int64_t>& images, int width, int height) {
  const std::vector<uint8_t> ours = RunOnHost(pictures, records, images, width, height);
  const size_t size = 3 * static_cast<size_t>(width) * static_cast<size_t>(height);
  std::vector<uint8_t> theirs(size);
  ViewScratch scratch;
  Difference difference;
  int64_t differing = 0;
  for (size_t v = 0; v < records.size(); ++v) {
    ApplyView(pictures[static_cast<size_t>(images[v])], records[v], width, height, theirs.data(),
              scratch);
    for (size_t i = 0; i < size; ++i) {
      const int d = std::abs(int{ours[v * size + i]} - int{theirs[i]});
      difference.worst = std::max(difference.worst, d);
      differing += d != 0;
    }
  }
  difference.share = static_cast<double>(differing) / static_cast<double>(ours.size());
  return difference;
}

TEST(ViewKernel, TapsOfHalvingByHand) {
  // 4 pixels to 2: the triangle spans 4 source pixels around 1 and 3, cut at the ends.
  const kernel::Axis axis = kernel::MakeAxis(4, 0, 4, 2, false);
  ASSERT_EQ(axis.taps, 4);
  float weights[8];
  EXPECT_EQ(kernel::MakeTaps(axis, 0, 2, weights), 0);
  EXPECT_EQ(kernel::MakeTaps(axis, 1, 2, weights + 1), 0);
  const float first[4] = {3 / 7.f, 3 / 7.f, 1 / 7.f, 0};
  for (int k = 0; k < 4; ++k) {
    EXPECT_FLOAT_EQ(weights[2 * k], first[k]);
    EXPECT_FLOAT_EQ(weights[2 * k + 1], first[3 - k]);
  }
}

TEST(ViewKernel, TapsAreThoseOfTheCpu) {
  core::PhiloxStream draw(3, core::DrawPurpose::kTest, 0, 0);
  core::ResampleTaps taps;
  for (int round = 0; round < 300; ++round) {
    const int input = 1 + static_cast<int>(draw.Below(300));
    const int output = 1 + static_cast<int>(draw.Below(230));
    const float begin = round % 3 == 0 ? 0.0f : draw.Uniform(0, static_cast<float>(input) * 0.9f);
    const float length = round % 3 == 0
                             ? static_cast<float>(input)
                             : draw.Uniform(0.05f, 1) * (static_cast<float>(input) - begin);
    if (!(length > 0)) continue;
    const bool cubic = round % 2 == 1;
    core::ComputeTaps(input, begin, length, output, &taps,
                      cubic ? core::Filter::kBicubic : core::Filter::kBilinear);
    const kernel::Axis axis = kernel::MakeAxis(input, begin, length, output, cubic);
    ASSERT_GE(axis.taps, taps.count);
    std::vector<float> weights(static_cast<size_t>(axis.taps));
    for (int i = 0; i < output; ++i) {
      ASSERT_EQ(kernel::MakeTaps(axis, i, 1, weights.data()), taps.start[static_cast<size_t>(i)]);
      for (int k = 0; k < axis.taps; ++k) {
        const float expected = k < taps.count ? taps.weight(k, i) : 0.0f;
        ASSERT_NEAR(weights[static_cast<size_t>(k)], expected, 1e-6f) << input << " " << output;
      }
    }
  }
}

TEST(ViewKernel, IdentityCopiesEveryByte) {
  for (const auto& [width, height] : {std::pair{32, 32}, {96, 96}, {224, 224}, {61, 130}}) {
    const core::Image tile = MakeTile(width, height, 1);
    EXPECT_EQ(RunOnHost({tile}, {ViewParams{}}, {0}, width, height), tile.pixels);
  }
}

TEST(ViewKernel, ContrastZeroIsTheMeanLuma) {
  // Two colours, half of the rows each: luma 0.2989 * 200 = 59.78 and 0.114 * 100 = 11.4; mean
  // 35.59, rounded 36. More than one block, so that sums of blocks meet.
  core::Image tile(100, 90, 3);
  for (int y = 0; y < 90; ++y) {
    for (int x = 0; x < 100; ++x) tile.at(x, y)[y < 45 ? 0 : 2] = y < 45 ? 200 : 100;
  }
  ViewParams params;
  params.jitter = 1;
  params.contrast = 0;
  const auto view = RunOnHost({tile}, {params}, {0}, 100, 90);
  for (const uint8_t level : view) ASSERT_EQ(level, 36);
}

TEST(ViewKernel, QuarterTurnsOfNonSquareViews) {
  const core::Image tile = MakeTile(40, 24, 2);
  for (uint8_t turns = 0; turns < 4; ++turns) {
    for (uint8_t flips = 0; flips < 4; ++flips) {
      ViewParams params;
      params.rot90 = turns;
      params.hflip = flips & 1;
      params.vflip = flips >> 1;
      const bool turned = turns & 1;
      EXPECT_EQ(Compare({tile}, {params}, {0}, turned ? 24 : 40, turned ? 40 : 24).worst, 0);
      params.blur_sigma = 1.5f;
      params.jitter = 1;
      params.contrast = 1.4f;
      EXPECT_LE(Compare({tile}, {params}, {0}, turned ? 24 : 40, turned ? 40 : 24).worst, 1);
    }
  }
}

TEST(ViewKernel, StrongestSettingsStayWithinOneLevel) {
  const std::vector<core::Image> tiles = {MakeTile(300, 170, 5), MakeTile(300, 170, 6)};
  std::vector<ViewParams> records;
  std::vector<int64_t> images;
  core::PhiloxStream draw(17, core::DrawPurpose::kTest, 0, 1);
  for (int i = 0; i < 24; ++i) {
    ViewParams p;
    p.jitter = 1;
    for (uint32_t k = 4; k > 1; --k)
      std::swap(p.jitter_order[k - 1], p.jitter_order[draw.Below(k)]);
    p.brightness = draw.Uniform(0.2f, 1.8f);
    p.contrast = draw.Uniform(0.2f, 1.8f);
    p.saturation = draw.Uniform(0.2f, 1.8f);
    p.hue = draw.Uniform(-0.5f, 0.5f);
    p.blur_sigma = i % 3 ? draw.Uniform(0.1f, 4.0f) : 0;
    p.solarize = i % 2 ? 0.5f : 2.0f;
    p.gray = i % 5 == 0;
    p.bicubic = i % 4 == 1;
    p.crop_w = draw.Uniform(8, 300), p.crop_h = draw.Uniform(8, 170);
    p.crop_x = draw.Uniform() * (300 - p.crop_w), p.crop_y = draw.Uniform() * (170 - p.crop_h);
    records.push_back(p);
    images.push_back(i % 2);
  }
  for (const auto& [width, height] : {std::pair{32, 32}, {96, 64}, {20, 224}}) {
    // Solarising at half of full scale is continuous, so it too stays within a level.
    const Difference d = Compare(tiles, records, images, width, height);
    EXPECT_LE(d.worst, 1) << width;
    EXPECT_LE(d.share, 0.01) << width;
  }
}

// Purple tissue: no hue near red, where the map of HSV jumps, and no grey.
core::Image PurpleTile(int width, int height, uint32_t seed) {
  core::Image image(width, height, 3);
  core::PhiloxStream noise(seed, core::DrawPurpose::kTest, 0, 0);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double wave = std::sin(0.3 * x + seed) * std::cos(0.2 * y);
      const double base[3] = {140 + 25 * wave, 90 + 40 * wave, 200 + 30 * wave};
      for (int c = 0; c < 3; ++c) {
        image.at(x, y)[c] = static_cast<uint8_t>(base[c] + noise.Uniform(-10, 10));
      }
    }
  }
  return image;
}

// RandStainNA outside of LAB, which no preset draws.
TEST(ViewKernel, StainMapsOfHsvAndHedAgreeWithTheCpu) {
  const std::vector<core::Image> tiles = {PurpleTile(120, 90, 1), PurpleTile(120, 90, 2)};
  core::PhiloxStream random(29, core::DrawPurpose::kTest, 0, 0);
  for (const core::StainSpace space : {core::StainSpace::kHsv, core::StainSpace::kHed}) {
    std::vector<ViewParams> records;
    std::vector<int64_t> images;
    for (int i = 0; i < 12; ++i) {
      const core::ColorStats from = core::MeasureColors(tiles[static_cast<size_t>(i % 2)], space);
      core::ColorStats to = from;
      for (int c = 0; c < 3; ++c) {
        to.mean[c] += random.Uniform(-0.1f, 0.1f);
        to.std[c] *= random.Uniform(0.6f, 1.5f);
      }
      ViewParams p;
      if (space == core::StainSpace::kHed) {
        draw::SetMap(core::ReinhardHedAffine(from, to), kModelReinhardHed, &p);
        ASSERT_EQ(p.stain, kStainDensity);
      } else {
        const core::ChannelMap map = core::ReinhardMap(from, to);
        p.stain = kStainHsv;
        std::copy_n(map.scale, 3, p.stain_matrix);
        std::copy_n(map.offset, 3, p.stain_offset);
      }
      p.blur_sigma = i % 3 == 0 ? 1.2f : 0;
      if (i % 2) {
        p.crop_w = 70, p.crop_h = 50;
        p.crop_x = random.Uniform(0, 50), p.crop_y = random.Uniform(0, 40);
      }
      records.push_back(p);
      images.push_back(i % 2);
    }
    const auto plain = RunOnHost({tiles[0]}, {ViewParams{}}, {0}, 48, 64);
    const auto mapped = RunOnHost({tiles[0]}, {records[2]}, {0}, 48, 64);
    EXPECT_NE(mapped, plain);
    const Difference d = Compare(tiles, records, images, 48, 64);
    EXPECT_LE(d.worst, 1) << core::StainSpaceName(space);
    EXPECT_LE(d.share, 0.01) << core::StainSpaceName(space);
  }
}

// Every preset, at the sizes that matter: never more than one grey level apart, rarely at all.
class ViewKernelPreset : public ::testing::TestWithParam<std::string> {};

TEST_P(ViewKernelPreset, AgreesWithTheCpu) {
  struct Case {
    int source_width, source_height, size, count;
  };
  for (const Case& c : {Case{32, 32, 32, 100}, {120, 96, 96, 20}, {256, 256, 224, 4}}) {
    ViewRecipe recipe = ViewRecipe::Preset(GetParam());
    recipe.size = c.size;
    const ViewSampler sampler(recipe);
    std::vector<core::Image> tiles;
    std::vector<ViewParams> records;
    std::vector<int64_t> images;
    for (uint32_t t = 0; t < 4; ++t) {
      tiles.push_back(MakeTile(c.source_width, c.source_height, t));
    }
    for (int i = 0; i < c.count; ++i) {
      core::Image& tile = tiles[static_cast<size_t>(i) % tiles.size()];
      StainFacts facts(tile, nullptr);
      const core::PhiloxStream stream(23, core::DrawPurpose::kView, 0, static_cast<uint32_t>(i));
      records.push_back(sampler.Draw(stream, tile.width, tile.height, &facts));
      images.push_back(i % 4);
    }
    const Difference d = Compare(tiles, records, images, c.size, c.size);
    EXPECT_LE(d.worst, 1) << c.size;
    EXPECT_LE(d.share, 0.01) << c.size;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ViewKernelPreset, ::testing::ValuesIn(ViewRecipe::PresetNames()));

TEST(ViewKernel, RecordsOfAnotherSizeAreRefused) {
  ViewParams outside;
  outside.crop_x = 10, outside.crop_w = 30, outside.crop_h = 20;
  testing::ExpectError([&] { NeedsOf(&outside, 1, 32, 32, 32, 32); }, core::ExitCode::kUsage,
                       "leaves the image");
  ViewParams old;
  old.version = 1;
  testing::ExpectError([&] { NeedsOf(&old, 1, 32, 32, 32, 32); }, core::ExitCode::kUsage,
                       "version 1");
  const ViewParams fine;
  testing::ExpectError([&] { NeedsOf(&fine, 1, 32, 32, 4000, 4000); }, core::ExitCode::kUsage,
                       "4000 x 4000 pixels");
}

TEST(ViewKernel, MemoryIsBoundedAndInOrder) {
  ViewNeeds needs;
  needs.max_taps = 4;
  const ViewLayout large = LayOut(1024, needs, 224, 224), small = LayOut(1024, needs, 32, 32);
  EXPECT_EQ(large.chunk, (32 << 20) / (224 * 224 * 12));
  EXPECT_EQ(small.chunk, 1024);
  EXPECT_LT(large.bytes, size_t{40} << 20);
  EXPECT_EQ(large.blocks, 56);  // 4 rows a block
  EXPECT_EQ(small.blocks, 1);   // the whole view
  EXPECT_EQ(LayOut(3, needs, 224, 224).chunk, 3);
}

// Each section holds what views.cu indexes in it, for every view of a chunk, and ends before the
// next begins.
TEST(ViewKernel, SectionsOfTheMemoryHoldTheirChunk) {
  for (const auto& [views, taps, width, height] : {std::tuple{1024, 4, 224, 224},
                                                   {1024, 9, 32, 32},
                                                   {3, 1, 224, 96},
                                                   {70, 33, 20, 500},
                                                   {1, 2, 1, 1},
                                                   {2, 5, 2000, 1}}) {
    ViewNeeds needs;
    needs.max_taps = taps;
    const ViewLayout layout = LayOut(views, needs, width, height);
    ASSERT_GE(layout.chunk, 1);
    const auto chunk = static_cast<size_t>(layout.chunk), side = static_cast<size_t>(layout.side),
               most = static_cast<size_t>(layout.max_taps);
    EXPECT_EQ(layout.side, std::max(width, height));
    EXPECT_GE(layout.max_taps, taps);
    EXPECT_GE(layout.view_values, 3 * width * height);
    EXPECT_GE(layout.blocks, kernel::BlocksOf(width, height));
    EXPECT_GE(layout.blocks, kernel::BlocksOf(height, width));
    const struct {
      size_t begin, end, bytes;
    } sections[] = {{layout.plans, layout.starts, chunk * sizeof(kernel::ViewPlan)},
                    {layout.starts, layout.weights, chunk * 2 * side * sizeof(int)},
                    {layout.weights, layout.luma_sums, chunk * 2 * side * most * sizeof(float)},
                    {layout.luma_sums, layout.scratch,
                     chunk * static_cast<size_t>(layout.blocks) * sizeof(float)},
                    {layout.scratch, layout.bytes,
                     chunk * static_cast<size_t>(layout.view_values) * sizeof(float)}};
    size_t total = 0;
    for (const auto& section : sections) {
      EXPECT_EQ(section.begin % 256, 0u);
      EXPECT_GE(section.end, section.begin + section.bytes);
      total += section.bytes;
    }
    EXPECT_GE(layout.bytes, total);
  }
}

}  // namespace
}  // namespace eosin::engine
