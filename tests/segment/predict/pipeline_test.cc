// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/pipeline.h"

#include <atomic>
#include <cmath>
#include <fstream>

#include "core/base/files.h"
#include "segment/predict/raster_reader.h"
#include "tests/segment/predict/made_network.h"

namespace eosin::testing {
namespace {

using namespace segment;

int Rings(int64_t x, int64_t y) { return static_cast<int>((x * x + y * y) / 4000 % 3); }

std::vector<uint8_t> Truth(int64_t width, int64_t height, const TruthOf& truth) {
  std::vector<uint8_t> labels;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) labels.push_back(static_cast<uint8_t>(truth(x, y)));
  }
  return labels;
}

// Every pixel's own class comes out, at the slide's borders too, whatever the windows are.
TEST(Pipeline, GivesEveryPixelItsClass) {
  for (const auto& [width, height] :
       {std::pair<int64_t, int64_t>{517, 301}, {64, 64}, {300, 20}, {7, 400}, {1, 1}}) {
    const auto slide = SlideOf(width, height, Rings);
    for (const int stride : {64, 48, 32, 16}) {
      for (const int64_t shift : {0, 9, 40}) {
        MapOptions options;
        options.stride = stride;
        options.shift = shift;
        options.blend = shift == 9 ? "cosine" : "gaussian";
        ASSERT_EQ(LabelsOf(*slide, ReadingNetwork(64, 3), options), Truth(width, height, Rings))
            << width << " x " << height << " stride " << stride << " shift " << shift;
      }
    }
  }
}

// A network that answers the same everywhere gives exactly that everywhere.
TEST(Pipeline, ConstantStaysConstant) {
  const auto slide = SlideOf(333, 190, Rings);
  const Network constant = [](const uint8_t*, int64_t count, uint16_t* out) {
    for (int64_t i = 0; i < count; ++i) {
      std::fill_n(out + i * 2 * 4096, 4096, static_cast<uint16_t>(12345));
      std::fill_n(out + i * 2 * 4096 + 4096, 4096, static_cast<uint16_t>(kOneProbability - 12345));
    }
  };
  MapOptions options;
  options.classes = 2;
  options.probabilities = true;
  options.stride = 21;
  const TempFolder folder;
  KeepingSink sink;
  RunMap(*slide, constant, options, folder / "bands", &sink);
  EXPECT_THAT(sink.labels, ::testing::Each(1));
  std::vector<uint8_t> seen = sink.probabilities;
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  EXPECT_EQ(seen, (std::vector<uint8_t>{96, 159}));  // 255 * .37674 = 96.07, 158.93
}

// Unsure of everything: what it says depends on the place in the window.
Network UnsureNetwork(int side) {
  return [side](const uint8_t* images, int64_t count, uint16_t* out) {
    const int64_t pixels = int64_t{side} * side;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t p = 0; p < pixels; ++p) {
        const int value = images[(i * pixels + p) * 3 + 1] * 64 + static_cast<int>(p * 37 % 8000);
        out[i * 2 * pixels + p] = static_cast<uint16_t>(value);
        out[(i * 2 + 1) * pixels + p] = static_cast<uint16_t>(kOneProbability - value);
      }
    }
  };
}

TEST(Pipeline, ThreadsAndBatchesChangeNoByte) {
  const auto slide = SlideOf(700, 450, Rings, 100);
  MapOptions options;
  options.classes = 2;
  options.probabilities = true;
  std::vector<uint8_t> labels, probabilities;
  for (const int threads : {1, 4}) {
    for (const int64_t batch : {1, 3, 64}) {
      options.threads = threads;
      options.batch = batch;
      const TempFolder folder;
      KeepingSink sink;
      RunMap(*slide, UnsureNetwork(64), options, folder / "bands", &sink);
      if (labels.empty()) {
        labels = sink.labels;
        probabilities = sink.probabilities;
      }
      EXPECT_EQ(sink.labels, labels);
      EXPECT_EQ(sink.probabilities, probabilities);
    }
  }
  EXPECT_GT(std::count(labels.begin(), labels.end(), 0), 1000);
  EXPECT_GT(std::count(labels.begin(), labels.end(), 1), 1000);
}

// Resampled slides: the map is the same at any thread count, and of the model's scale.
TEST(Pipeline, ResamplesToTheModelsScale) {
  const auto slide = SlideOf(800, 600, [](int64_t x, int64_t) { return x < 400 ? 0 : 2; });
  MapOptions options;
  options.mpp = 2.5;
  const std::vector<uint8_t> labels = LabelsOf(*slide, ReadingNetwork(64, 3), options);
  ASSERT_EQ(labels.size(), 320U * 240);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (i % 320 == 159 || i % 320 == 160) continue;  // where the filter sees both
    ASSERT_EQ(labels[i], i % 320 < 160 ? 0 : 2) << i;
  }
}

TEST(Pipeline, KilledAtAnyBandGoesOnToTheSameBytes) {
  const auto slide = SlideOf(500, 700, Rings, 100);
  for (const int stride : {64, 32, 13}) {
    MapOptions options;
    options.classes = 2;
    options.stride = stride;
    options.probabilities = true;
    const TempFolder folder;
    KeepingSink whole;
    const int64_t all =
        RunMap(*slide, UnsureNetwork(64), options, folder / "whole", &whole).windows;
    for (const int64_t fail : {0, 1, 5, 9}) {
      const fs::path bands = folder / ("bands" + std::to_string(fail));
      KeepingSink failing(fail);
      EXPECT_THROW(RunMap(*slide, UnsureNetwork(64), options, bands, &failing), core::MachineError);
      KeepingSink resumed;
      const PipelineResult result = RunMap(*slide, UnsureNetwork(64), options, bands, &resumed);
      EXPECT_GE(result.bands_resumed, fail + 1);  // a band is stored before the sinks see it
      EXPECT_EQ(resumed.labels, whole.labels);
      EXPECT_EQ(resumed.probabilities, whole.probabilities);
      if (fail == 9) {
        EXPECT_LT(result.windows_run, all);
      }
    }
  }
}

TEST(Pipeline, DamagedBandsAreMadeAgain) {
  const auto slide = SlideOf(300, 400, Rings);
  MapOptions options;
  options.classes = 2;
  const TempFolder folder;
  KeepingSink whole;
  RunMap(*slide, UnsureNetwork(64), options, folder / "bands", &whole);
  for (const char* damage : {"flip", "cut", "empty"}) {
    const fs::path file = folder.path() / "bands" / "band-000004";
    std::string bytes = core::ReadFile(file);
    if (damage == std::string("flip")) bytes[bytes.size() / 2] ^= 4;
    if (damage == std::string("cut")) bytes.resize(bytes.size() - 3);
    if (damage == std::string("empty")) bytes.clear();
    std::ofstream(file, std::ios::binary) << bytes;
    KeepingSink again;
    const PipelineResult result =
        RunMap(*slide, UnsureNetwork(64), options, folder / "bands", &again);
    EXPECT_EQ(result.bands_resumed, 4) << damage;
    EXPECT_EQ(again.labels, whole.labels) << damage;
  }
}

TEST(BandStore, OtherSettingsAreRefusedOrStartOver) {
  const TempFolder folder;
  Band band;
  band.rows = 2;
  band.width = 3;
  band.labels = {0, 1, 2, 255, 4, 5};
  band.bad = {{3, 4, "cut off"}, {5, 4, ""}};
  {
    BandStore store(folder / "bands", "a", false);
    store.Write(band);
    EXPECT_EQ(store.count(), 1);
  }
  {
    BandStore store(folder / "bands", "a", false);
    ASSERT_EQ(store.count(), 1);
    EXPECT_EQ(store.Read(0)->labels, band.labels);
    EXPECT_EQ(store.Read(0)->bad, band.bad);
  }
  ExpectError([&] { BandStore(folder / "bands", "b", false); }, core::ExitCode::kBadInput,
              "other settings");
  BandStore store(folder / "bands", "b", true);
  EXPECT_EQ(store.count(), 0);
}

TEST(Pipeline, OutsideTheTissueNothingIsPredicted) {
  const auto slide = SlideOf(640, 480, Rings);
  core::Image picture(64, 48, 1);
  for (int y = 10; y < 20; ++y) std::fill_n(picture.row(y) + 20, 15, uint8_t{255});
  const tiling::TissueMask tissue(picture, 640, 480);
  MapOptions options;
  options.tissue = &tissue;
  const std::vector<uint8_t> labels = LabelsOf(*slide, ReadingNetwork(64, 3), options);
  // Level 0: 200-349 x 100-199; cells of 32: 192-351 x 96-223.
  for (int64_t y = 0; y < 480; ++y) {
    for (int64_t x = 0; x < 640; ++x) {
      const bool inside = x >= 192 && x < 352 && y >= 96 && y < 224;
      ASSERT_EQ(labels[static_cast<size_t>(y * 640 + x)], inside ? Rings(x, y) : kNotPredicted)
          << x << " " << y;
    }
  }
}

// A stored tile that cannot be read costs its block, and nothing else.
TEST(Pipeline, BadTilesAreLeftOut) {
  const auto slide = SlideOf(1024, 768, Rings, 256);
  slide->SetBad(0, 5);  // 256-511 x 256-511
  MapOptions options;
  const TempFolder folder;
  KeepingSink sink;
  const PipelineResult result =
      RunMap(*slide, ReadingNetwork(64, 3), options, folder / "bands", &sink);
  EXPECT_EQ(result.bad_blocks, 1);
  EXPECT_EQ(result.first_error, "tile 5 is bad");
  for (int64_t y = 0; y < 768; ++y) {
    for (int64_t x = 0; x < 1024; ++x) {
      const bool bad = x >= 256 && x < 512 && y >= 256 && y < 512;
      ASSERT_EQ(sink.labels[static_cast<size_t>(y * 1024 + x)], bad ? kNotPredicted : Rings(x, y));
    }
  }
}

// What cannot be read is known after a stop, too, also where no window looks any more.
TEST(Pipeline, BadTilesAreRememberedWhenGoingOn) {
  const auto slide = SlideOf(700, 1500, Rings, 256);
  slide->SetBad(0, 1);   // 256-511 x 0-255
  slide->SetBad(0, 13);  // 256-511 x 1024-1279
  const TempFolder folder;
  KeepingSink whole;
  const PipelineResult all = RunMap(*slide, ReadingNetwork(64, 3), {}, folder / "whole", &whole);
  EXPECT_EQ(all.bad_blocks, 2);
  EXPECT_EQ(all.first_error, "tile 1 is bad");
  EXPECT_EQ(all.windows_run, all.windows);
  for (const int64_t fail : {0, 7, 8, 20, 33, 45}) {
    const fs::path bands = folder / ("bands" + std::to_string(fail));
    KeepingSink failing(fail), resumed;
    EXPECT_THROW(RunMap(*slide, ReadingNetwork(64, 3), {}, bands, &failing), core::MachineError);
    const PipelineResult result = RunMap(*slide, ReadingNetwork(64, 3), {}, bands, &resumed);
    EXPECT_EQ(result.bad_blocks, 2) << fail;
    EXPECT_EQ(result.first_error, all.first_error) << fail;
    EXPECT_EQ(result.windows, all.windows);
    EXPECT_EQ(resumed.labels, whole.labels) << fail;
  }
}

// A straight ramp stays one: blocks of a resampled raster meet without a jump, at their own places.
TEST(Pipeline, ResampledBlocksLieWhereTheyShould) {
  const auto wave = [](int64_t at) {  // 8 grey levels a pixel, up and down in 60 pixels
    const int64_t place = at % 60;
    return static_cast<double>(8 * std::min(place, 60 - place));
  };
  for (const double downsample : {1.1, 1.37, 0.9}) {
    tiling::SlideLevel level;
    level.width = 1300;
    level.height = 700;
    level.tile_width = level.tile_height = 256;
    const FakeSlide slide({level}, 1, [&](int, int64_t x, int64_t y, int c) {
      return static_cast<uint8_t>(wave(c == 0 ? x : y));
    });
    PlanOptions options;
    options.mpp = downsample;
    options.allow_upsample = true;
    options.window = options.stride = 64;
    const PredictPlan plan = MakePredictPlan(slide.geometry(), nullptr, options);
    RasterReader reader(slide, plan, 0, 1);
    std::vector<uint8_t> window(64 * 64 * 3);
    double most = 0;
    const auto check = [&](int64_t at, int64_t size, uint8_t value) {
      const double centre = (static_cast<double>(at) + 0.5) * downsample - 0.5;
      const double turn = std::abs(std::remainder(centre, 30.0));
      if (turn < 4 || at < 3 || at > size - 4) return;  // where the filter sees a turn or the edge
      const double low = std::floor(centre);
      const double want = wave(static_cast<int64_t>(low)) * (low + 1 - centre) +
                          wave(static_cast<int64_t>(low) + 1) * (centre - low);
      most = std::max(most, std::abs(value - want));
    };
    for (int64_t row = 0; row < plan.y.count; ++row) {
      ASSERT_TRUE(reader.BeginRow(row));
      for (const int64_t column : plan.Columns(row)) {
        reader.CopyWindow(row, column, window.data());
        for (int64_t y = 0; y < 64; ++y) {
          for (int64_t x = 0; x < 64; ++x) {
            const int64_t u = plan.x.Start(column) + x, v = plan.y.Start(row) + y;
            if (u < 0 || v < 0 || u >= plan.width || v >= plan.height) continue;
            check(u, plan.width, window[static_cast<size_t>((y * 64 + x) * 3)]);
            check(v, plan.height, window[static_cast<size_t>((y * 64 + x) * 3 + 1)]);
          }
        }
      }
    }
    EXPECT_LT(most, 1.1) << downsample;  // rounding; a tenth of a pixel would be 0.9 more
  }
}

TEST(Pipeline, EachStoredTileIsDecodedOnce) {
  const auto slide = SlideOf(1000, 700, Rings, 96);
  LabelsOf(*slide, ReadingNetwork(64, 3), {});
  for (int64_t i = 0; i < slide->level(0).tile_count(); ++i) ASSERT_EQ(slide->Decoded(0, i), 1);
}

TEST(Pipeline, NetworksFailureEndsAllStages) {
  const auto slide = SlideOf(1000, 900, Rings);
  std::atomic<int> calls = 0;
  const Network failing = [&](const uint8_t*, int64_t, uint16_t*) {
    if (++calls == 7) throw core::MachineError("out of memory", "smaller batch");
  };
  const TempFolder folder;
  KeepingSink sink;
  MapOptions options;
  options.threads = 3;
  ExpectError([&] { RunMap(*slide, failing, options, folder / "bands", &sink); },
              core::ExitCode::kMachine, "out of memory");
}

}  // namespace
}  // namespace eosin::testing
