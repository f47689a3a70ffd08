// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/extract.h"

#include <cmath>
#include <cstdlib>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/image/mosaic.h"
#include "core/stain/tile_stain.h"
#include "tests/testing.h"
#include "tests/tiling/fake_slide.h"
#include "tiling/extract/coverage.h"
#include "tiling/extract/predict.h"

namespace eosin::tiling {
namespace {

using core::ExitCode;
using core::Image;
using core::TileStatus;
using core::TileStoreReader;
using eosin::testing::DataFolder;
using eosin::testing::ExpectError;
using eosin::testing::FakeSlide;
using eosin::testing::TempFolder;

TileOptions Options(double mpp, int64_t size, const std::string& encoding = "jpeg") {
  TileOptions options;
  options.mpp = mpp;
  options.size = size;
  options.encoding = encoding;
  return options;
}

TileOptions Aligned(double mpp) {
  TileOptions options;
  options.mpp = mpp;
  options.align = "tiles";
  return options;
}

SlideLevel Level(int64_t width, int64_t height, double downsample, int tile, bool jpeg = true) {
  return {width, height, downsample, tile, tile, jpeg};
}

class ExtractTest : public ::testing::Test {
 protected:
  ExtractResult Extract(const Slide& slide, const Plan& plan, const TileOptions& options,
                        int threads = 1, const std::string& name = "a.h5") {
    core::TileStoreInfo info;
    info.slide_name = "fake.svs";
    info.slide_hash = "0";
    info.width = slide.width();
    info.height = slide.height();
    info.mpp_x = info.mpp_y = slide.mpp().x;
    info.mpp_source = "test";
    info.bounds = slide.geometry().bounds;
    info.tile_size = plan.tile_size;
    info.tile_mpp = plan.tile_mpp;
    info.stride = std::llround(plan.stride);
    info.encoding = options.encoding;
    info.patch_size_level0 = plan.patch_size_level0;
    core::TileStoreWriter writer(temp_ / name, info);
    const ExtractResult result = ExtractTiles(slide, plan, options, threads, writer, nullptr);
    writer.Finish();
    return result;
  }
  std::string Bytes(const std::string& name) { return core::ReadFile(temp_ / name); }

  TempFolder temp_;
};

TEST_F(ExtractTest, CopiesStoredTilesByteForByte) {
  const FakeSlide slide({Level(500, 420, 1, 64), Level(250, 210, 2, 32)}, 0.5, FakeSlide::Tissue);
  const TileOptions options = Aligned(1);
  const Plan plan = MakePlan(slide.geometry(), nullptr, options);
  ASSERT_EQ(plan.mode, TileMode::kCopy);
  const ExtractResult result = Extract(slide, plan, options);
  const TileStoreReader store(temp_ / "a.h5");
  ASSERT_EQ(store.size(), 7 * 6);
  EXPECT_EQ(result.kept.size(), 42u);
  for (int64_t i = 0; i < store.size(); ++i) {
    const int64_t column = store.coords(i).x / 64, row = store.coords(i).y / 64;
    core::Bytes jpeg;
    std::string error;
    ASSERT_TRUE(slide.AppendJpeg(1, row * 8 + column, &jpeg, &error));
    ASSERT_EQ(store.ReadBytes(i), jpeg);
  }
  EXPECT_EQ(store.quality_names().size(), 5u);
  EXPECT_EQ(store.stain_columns().size(), core::kStainColumns.size());
}

TEST_F(ExtractTest, CopyingWithoutScoresDecodesNothing) {
  const FakeSlide slide({Level(512, 512, 1, 64)}, 0.5, FakeSlide::Tissue);
  TileOptions options = Aligned(0.5);
  options.quality = options.stain = "none";
  Extract(slide, MakePlan(slide.geometry(), nullptr, options), options);
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(slide.Decoded(0, i), 0);
  const TileStoreReader store(temp_ / "a.h5");
  EXPECT_TRUE(store.quality_names().empty());
  EXPECT_TRUE(store.stain_columns().empty());
}

TEST_F(ExtractTest, StoresPixelsInPlanOrder) {
  const FakeSlide slide({Level(300, 260, 1, 64, false)}, 0.5);
  for (const std::string encoding : {"png", "raw"}) {
    const TileOptions options = Options(0.5, 50, encoding);
    const Plan plan = MakePlan(slide.geometry(), nullptr, options);
    const ExtractResult result = Extract(slide, plan, options, 3, encoding);
    EXPECT_EQ(result.walk.tiles_decoded, result.walk.tiles_covered);
    const TileStoreReader store(temp_ / encoding);
    ASSERT_EQ(store.size(), static_cast<int64_t>(plan.tiles.size()));
    for (int64_t i = 0; i < store.size(); ++i) {
      const PlannedTile& tile = plan.tiles[static_cast<size_t>(i)];
      ASSERT_EQ(store.coords(i).x, tile.x);
      ASSERT_EQ(store.coords(i).y, tile.y);
      const Image image = store.Decode(i);
      for (int y = 0; y < 50; y += 7) {
        for (int v = 0; v < 150; ++v) {
          ASSERT_EQ(image.row(y)[v], FakeSlide::Hash(0, tile.x + v / 3, tile.y + y, v % 3));
        }
      }
    }
  }
}

// Copied, cut and resampled, with a bad tile: the same file at 1, 2 and 5 threads.
TEST_F(ExtractTest, BytesDoNotDependOnThreads) {
  FakeSlide slide({Level(700, 600, 1, 64)}, 0.5, FakeSlide::Tissue);
  slide.SetBad(0, 40);
  TileOptions cut = Options(0.5, 48);
  cut.stride = 24;
  for (const TileOptions& options : {Aligned(0.5), cut, Options(1.1, 32)}) {
    const Plan plan = MakePlan(slide.geometry(), nullptr, options);
    std::string one;
    for (const int threads : {1, 2, 5}) {
      const std::string name = "t" + std::to_string(threads) + ".h5";
      const ExtractResult result = Extract(slide, plan, options, threads, name);
      EXPECT_GT(result.bad, 0);
      if (threads == 1) one = Bytes(name);
      EXPECT_TRUE(Bytes(name) == one) << threads << " threads, " << Describe(plan);
      core::fs::remove(temp_ / name);
    }
  }
}

TEST_F(ExtractTest, BadTilesStayInTheStoreWithoutBytes) {
  for (const TileOptions& options : {Aligned(0.5), Options(0.5, 48)}) {
    FakeSlide slide({Level(320, 320, 1, 64)}, 0.5, FakeSlide::Tissue);
    const Plan plan = MakePlan(slide.geometry(), nullptr, options);
    Extract(slide, plan, options, 1, "clean");
    slide.SetBad(0, 7);  // columns 128-191, rows 64-127
    const ExtractResult result = Extract(slide, plan, options, 2, "bad");
    const TileStoreReader clean(temp_ / "clean"), store(temp_ / "bad");
    EXPECT_EQ(result.first_error, FakeSlide::Reason(7));
    int64_t bad = 0;
    const std::vector<float> blur = store.ReadQuality("blur"), stain = store.ReadStain();
    for (int64_t i = 0; i < store.size(); ++i) {
      const auto [x, y] = store.coords(i);
      const int64_t side = plan.patch_size_level0;
      const bool touches = x < 192 && x + side > 128 && y < 128 && y + side > 64;
      ASSERT_EQ(store.status(i), touches ? TileStatus::kBad : TileStatus::kOk);
      ASSERT_EQ(store.ReadBytes(i).empty(), touches);
      ASSERT_EQ(std::isnan(blur[static_cast<size_t>(i)]), touches);
      if (touches) {
        ASSERT_TRUE(std::isnan(stain[static_cast<size_t>(i) * core::kStainColumns.size()]));
      } else {
        ASSERT_EQ(store.ReadBytes(i), clean.ReadBytes(i));
      }
      bad += touches;
    }
    EXPECT_EQ(result.bad, bad);
    EXPECT_GT(bad, 0);
  }
}

TEST_F(ExtractTest, ASlideWithoutAReadableTileIsAnError) {
  FakeSlide slide({Level(128, 128, 1, 64)}, 0.5);
  for (int64_t i = 0; i < 4; ++i) slide.SetBad(0, i);
  for (const TileOptions& options : {Aligned(0.5), Options(0.5, 32)}) {
    const Plan plan = MakePlan(slide.geometry(), nullptr, options);
    ExpectError([&] { Extract(slide, plan, options, 2); }, ExitCode::kBadInput, "tile 0 is bad");
  }
}

// White glass on the left half: over the limit, so left out and told.
TEST_F(ExtractTest, TilesOverALimitAreLeftOut) {
  const FakeSlide slide({Level(1024, 512, 1, 128)}, 0.5, [](int l, int64_t x, int64_t y, int c) {
    return x < 512 ? uint8_t{250} : FakeSlide::Tissue(l, x, y, c);
  });
  TileOptions copied = Aligned(0.5), cut = Options(0.5, 128);
  copied.limits.white = cut.limits.white = 0.5;
  cut.quality = "none";  // scored, rejected, not stored
  for (const TileOptions& options : {copied, cut}) {
    const Plan plan = MakePlan(slide.geometry(), nullptr, options);
    const ExtractResult result = Extract(slide, plan, options, 2, options.align);
    ASSERT_EQ(result.rejected.size(), 16u);
    ASSERT_EQ(result.kept.size(), 16u);
    for (const RejectedTile& tile : result.rejected) {
      EXPECT_LT(tile.x, 512);
      EXPECT_EQ(tile.reason, Rejection::kWhite);
    }
    const TileStoreReader store(temp_ / options.align);
    ASSERT_EQ(store.size(), 16);
    for (int64_t i = 0; i < 16; ++i) {
      EXPECT_GE(store.coords(i).x, 512);
      EXPECT_EQ(store.coords(i).x, plan.tiles[static_cast<size_t>(result.kept[i])].x);
    }
    EXPECT_EQ(store.quality_names().empty(), options.quality == "none");
  }
}

TEST_F(ExtractTest, PredictionsOfCopiesAreExact) {
  const FakeSlide slide({Level(900, 700, 1, 64)}, 0.5, FakeSlide::Tissue);
  const TileOptions options = Aligned(0.5);
  const Plan plan = MakePlan(slide.geometry(), nullptr, options);
  const Prediction prediction = Predict(slide, plan, options, 2);
  Extract(slide, plan, options);
  const TileStoreReader store(temp_ / "a.h5");
  int64_t bytes = 0;
  for (int64_t i = 0; i < store.size(); ++i) {
    bytes += static_cast<int64_t>(store.ReadBytes(i).size());
  }
  EXPECT_EQ(prediction.tile_bytes, bytes);
  EXPECT_GT(prediction.seconds, 0);
}

TEST_F(ExtractTest, PredictionsAreWithinTenPerCent) {
  // Compresses to very different sizes from place to place.
  const auto formula = [](int l, int64_t x, int64_t y, int c) -> uint8_t {
    if ((x / 400 + y / 300) % 2 == 0) return 240;
    return FakeSlide::Tissue(l, x, y, c);
  };
  const FakeSlide told({Level(3000, 2500, 1, 128)}, 0.5, formula);
  for (const TileOptions& options : {Options(0.5, 96), Options(1, 64), Options(0.5, 96, "png")}) {
    const Plan plan = MakePlan(told.geometry(), nullptr, options);
    const Prediction prediction = Predict(told, plan, options, 1);
    Extract(told, plan, options, 2);
    const double real = static_cast<double>(core::fs::file_size(temp_ / "a.h5"));
    EXPECT_NEAR(static_cast<double>(prediction.store_bytes), real, 0.1 * real) << Describe(plan);
  }
  EXPECT_EQ(Predict(told, Plan(), Options(0.5, 96), 1).tile_bytes, 0);
}

// Real content: each stored tile decoded at a smaller size and filtered, against decoded whole and
// filtered once. The bound is stated in coverage.h.
TEST(Shrink, DiffersLittleFromFullDecoding) {
  const auto path = DataFolder() / "slides/CMU-1-Small-Region.svs";
  EOSIN_REQUIRE_DATA(path);
  const auto slide = Slide::Open(path);
  for (const double mpp : {2.0, 2.7, 4.1, 5.3}) {
    const Plan plan = MakePlan(slide->geometry(), nullptr, Options(mpp, 64));
    const Coverage coverage(slide->geometry(), plan);
    ASSERT_GT(coverage.shrink(), 1);
    const SlideLevel& level = slide->level(0);
    const Image whole =
        slide->ReadRegion(0, 0, 0, static_cast<int>(level.width), static_cast<int>(level.height));
    const uint8_t* pixels = whole.pixels.data();
    core::Mosaic mosaic;
    mosaic.tile_width = whole.width;
    mosaic.tile_height = whole.height;
    mosaic.width = whole.width;
    mosaic.height = whole.height;
    mosaic.columns = mosaic.rows = 1;
    mosaic.tiles = &pixels;
    core::MosaicResampler resampler(plan.downsample, plan.tile_size);
    double sum = 0, count = 0;
    int worst = 0;
    WalkTiles(*slide, plan, 1, [&](int, int64_t i, const Image* tile, const std::string&) {
      ASSERT_NE(tile, nullptr);
      Image full;
      const PlannedTile& place = plan.tiles[static_cast<size_t>(i)];
      resampler.Run(mosaic, static_cast<double>(place.x), static_cast<double>(place.y), &full);
      for (size_t k = 0; k < full.pixels.size(); ++k) {
        const int difference = std::abs(full.pixels[k] - tile->pixels[k]);
        worst = std::max(worst, difference);
        sum += difference;
        ++count;
      }
    });
    ASSERT_GT(count, 0);
    EXPECT_LE(sum / count, kShrinkMeanError) << mpp;
    EXPECT_LE(worst, kShrinkWorstError) << mpp;
    std::printf("%.1f um/px, decoded at 1/%d: %.3f grey levels on average, %d at most\n", mpp,
                coverage.shrink(), sum / count, worst);
  }
}

// The real slide, aligned and not, at two scales: every pixel is the slide's.
TEST_F(ExtractTest, TheRealSlideOnEveryPath) {
  const auto path = DataFolder() / "slides/CMU-1-Small-Region.svs";
  EOSIN_REQUIRE_DATA(path);
  const auto slide = Slide::Open(path);
  const TileOptions copied = Aligned(0.5);
  const Plan plan = MakePlan(slide->geometry(), nullptr, copied);
  EXPECT_EQ(plan.mode, TileMode::kCopy);
  Extract(*slide, plan, copied, 2);
  const TileStoreReader store(temp_ / "a.h5");
  ASSERT_EQ(store.size(), 9 * 12);  // whole tiles of 240 px of 2220 x 2967
  for (int64_t i = 0; i < store.size(); ++i) {
    const auto [x, y] = store.coords(i);
    ASSERT_EQ(store.Decode(i).pixels, slide->ReadRegion(0, x, y, 240, 240).pixels);
  }
  TileOptions cut = Options(0.5, 256, "raw");
  cut.stride = 128;
  const Plan grid = MakePlan(slide->geometry(), nullptr, cut);
  const ExtractResult result = Extract(*slide, grid, cut, 2, "cut");
  EXPECT_EQ(result.walk.tiles_decoded, result.walk.tiles_covered);
  const TileStoreReader cuts(temp_ / "cut");
  for (int64_t i = 0; i < cuts.size(); i += 5) {
    const auto [x, y] = cuts.coords(i);
    ASSERT_EQ(cuts.Decode(i).pixels, slide->ReadRegion(0, x, y, 256, 256).pixels);
  }
  const TileOptions half = Options(1, 256);
  const ExtractResult resampled =
      Extract(*slide, MakePlan(slide->geometry(), nullptr, half), half, 2, "half");
  EXPECT_EQ(resampled.walk.tiles_decoded, resampled.walk.tiles_covered);
  EXPECT_EQ(resampled.bad, 0);
  EXPECT_EQ(TileStoreReader(temp_ / "half").size(), 4 * 5);
}

}  // namespace
}  // namespace eosin::tiling
