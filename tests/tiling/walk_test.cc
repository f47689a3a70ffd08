// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/walk.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>

#include "core/base/philox.h"
#include "tests/testing.h"
#include "tests/tiling/fake_slide.h"
#include "tiling/extract/coverage.h"

namespace eosin::tiling {
namespace {

using core::DrawPurpose;
using core::Image;
using core::PhiloxStream;
using eosin::testing::FakeSlide;

TileOptions Options(double mpp, int64_t size, int64_t stride = 0) {
  TileOptions options;
  options.mpp = mpp;
  options.size = size;
  options.stride = stride;
  options.allow_upsample = true;
  return options;
}

SlideLevel Level(int64_t width, int64_t height, double downsample, int tile_width,
                 int tile_height) {
  return {width, height, downsample, tile_width, tile_height};
}

// Sinks run on any thread; an empty image is a bad tile.
struct Collected {
  std::mutex mutex;
  std::map<int64_t, Image> tiles;
  std::map<int64_t, std::string> errors;
  TileSink Sink() {
    return [this](int, int64_t index, const Image* tile, const std::string& error) {
      std::lock_guard lock(mutex);
      EXPECT_TRUE(tiles.emplace(index, tile ? *tile : Image()).second) << "twice " << index;
      if (!tile) errors[index] = error;
    };
  }
};

// A random slide and a random plan of it, with holes as tissue makes them.
struct Case {
  explicit Case(uint32_t seed, bool coarse = false)
      : draw(seed, DrawPurpose::kTest, 0, 1), slide(MakeSlide()), plan(MakeOne(coarse)) {}

  std::unique_ptr<FakeSlide> MakeSlide() {
    const int64_t width = 150 + draw.Below(300), height = 150 + draw.Below(250);
    const double d = 1.9 + 2.3 * double(draw.Uniform());
    const auto side = [&] { return 16 * (1 + static_cast<int>(draw.Below(5))); };
    std::vector<SlideLevel> levels = {Level(width, height, 1, side(), side())};
    levels.push_back(
        Level(int64_t(double(width) / d), int64_t(double(height) / d), d, side(), side()));
    return std::make_unique<FakeSlide>(levels, 0.25);
  }
  Plan MakeOne(bool coarse) {
    const auto size = static_cast<int64_t>(9 + draw.Below(40));
    double mpp = 0.25 * (0.8 + 3 * double(draw.Uniform()));
    if (draw.Below(3) == 0) mpp = 0.25;
    if (draw.Below(4) == 0) mpp = 0.25 * slide->level(1).downsample;
    if (coarse) mpp = 0.25 * slide->level(1).downsample * (4 + 3 * double(draw.Uniform()));
    const TileOptions options = Options(mpp, coarse ? 9 : size, 1 + draw.Below(60));
    Plan all = MakePlan(slide->geometry(), nullptr, options);
    const uint32_t keep = 1 + draw.Below(10);
    std::vector<PlannedTile> kept;
    for (const PlannedTile& tile : all.tiles) {
      if (draw.Below(10) < keep) kept.push_back(tile);
    }
    all.tiles = kept;
    return all;
  }

  PhiloxStream draw;
  std::unique_ptr<FakeSlide> slide;
  Plan plan;
};

// Which stored tiles a planned tile needs, by asking for each pixel that the filter weighs.
std::set<int64_t> Needed(const Case& c, const PlannedTile& tile) {
  const SlideLevel& level = c.slide->level(c.plan.level);
  const double scale = c.plan.level_downsample;
  const auto axis = [&](int64_t at, int64_t size, int side) {
    std::set<int64_t> places;
    const double ratio = c.plan.downsample / scale;
    const double begin = static_cast<double>(at) / scale;
    for (int i = 0; i < c.plan.tile_size; ++i) {
      if (c.plan.mode == TileMode::kCrop) {
        places.insert((std::llround(begin) + i) / side);
        continue;
      }
      const double centre = begin + (i + 0.5) * ratio;
      const double support = ratio < 1 ? 2 : ratio;
      for (auto p = static_cast<int64_t>(centre - support) - 1; p <= centre + support + 1; ++p) {
        const double distance = std::abs(static_cast<double>(p) + 0.5 - centre);
        if (p >= 0 && p < size && distance < support - 1e-9) places.insert(p / side);
      }
    }
    return places;
  };
  std::set<int64_t> indices;
  for (const int64_t row : axis(tile.y, level.height, level.tile_height)) {
    for (const int64_t column : axis(tile.x, level.width, level.tile_width)) {
      indices.insert(row * level.columns() + column);
    }
  }
  return indices;
}

// The tile as the filter's definition reads; downsampling only.
double Exact(const Case& c, const PlannedTile& tile, int i, int j, int channel) {
  const SlideLevel& level = c.slide->level(c.plan.level);
  const double ratio = c.plan.downsample / c.plan.level_downsample;
  const double cx = static_cast<double>(tile.x) / c.plan.level_downsample + (i + 0.5) * ratio;
  const double cy = static_cast<double>(tile.y) / c.plan.level_downsample + (j + 0.5) * ratio;
  double sum = 0, total = 0;
  for (auto y = static_cast<int64_t>(std::max(0.0, cy - ratio - 1)); y < cy + ratio + 1; ++y) {
    for (auto x = static_cast<int64_t>(std::max(0.0, cx - ratio - 1)); x < cx + ratio + 1; ++x) {
      if (x >= level.width || y >= level.height) continue;
      const double weight = std::max(0.0, 1 - std::abs(static_cast<double>(x) + 0.5 - cx) / ratio) *
                            std::max(0.0, 1 - std::abs(static_cast<double>(y) + 0.5 - cy) / ratio);
      if (weight == 0) continue;
      sum += weight * c.slide->Pixel(c.plan.level, x, y, channel);
      total += weight;
    }
  }
  return sum / total;
}

TEST(Walk, EveryPixelOfEveryTileIsRight) {
  int crops = 0, resampled = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const Case c(seed);
    Collected got;
    WalkTiles(*c.slide, c.plan, 1 + static_cast<int>(seed % 3), got.Sink());
    ASSERT_EQ(got.tiles.size(), c.plan.tiles.size());
    const double ratio = c.plan.downsample / c.plan.level_downsample;
    for (const auto& [index, image] : got.tiles) {
      const PlannedTile& tile = c.plan.tiles[static_cast<size_t>(index)];
      const int size = c.plan.tile_size;
      ASSERT_EQ(image.width, size);
      if (c.plan.mode == TileMode::kCrop) {
        ++crops;
        const int64_t x = std::llround(static_cast<double>(tile.x) / c.plan.level_downsample);
        const int64_t y = std::llround(static_cast<double>(tile.y) / c.plan.level_downsample);
        for (int j = 0; j < size; ++j) {
          for (int v = 0; v < 3 * size; ++v) {
            ASSERT_EQ(image.row(j)[v], c.slide->Pixel(c.plan.level, x + v / 3, y + j, v % 3));
          }
        }
      } else if (ratio >= 1 && ratio < 4 && index % 7 == 0) {
        ++resampled;
        for (int j = 0; j < size; j += 3) {
          for (int i = 0; i < size; i += 2) {
            ASSERT_NEAR(image.at(i, j)[1], Exact(c, tile, i, j, 1), 0.56) << "seed " << seed;
          }
        }
      }
    }
  }
  EXPECT_GT(crops, 100);
  EXPECT_GT(resampled, 100);
}

TEST(Walk, DecodesEveryCoveredTileOnce) {
  for (uint32_t seed = 0; seed < 80; ++seed) {
    const Case c(seed, seed % 8 == 0);
    Collected got;
    const WalkStats stats = WalkTiles(*c.slide, c.plan, 1 + static_cast<int>(seed % 5), got.Sink());
    std::set<int64_t> needed;
    for (const PlannedTile& tile : c.plan.tiles) needed.merge(Needed(c, tile));
    EXPECT_EQ(stats.tiles_decoded, stats.tiles_covered);
    int64_t decoded = 0;
    for (int64_t i = 0; i < c.slide->level(c.plan.level).tile_count(); ++i) {
      const int times = c.slide->Decoded(c.plan.level, i);
      ASSERT_LE(times, 1) << "seed " << seed << " tile " << i;
      decoded += times;
      if (seed % 8 != 0) {
        ASSERT_TRUE(times == 1 || needed.count(i) == 0) << "seed " << seed;
      }
      // A filter's window may end on a pixel that weighs nothing, and no further.
      if (c.plan.mode == TileMode::kCrop) {
        ASSERT_EQ(times, needed.count(i));
      }
    }
    EXPECT_EQ(decoded, stats.tiles_covered);
  }
}

TEST(Walk, PixelsDoNotDependOnThreads) {
  for (uint32_t seed = 100; seed < 110; ++seed) {
    const Case c(seed, seed % 2 == 0);
    Collected one;
    WalkTiles(*c.slide, c.plan, 1, one.Sink());
    for (const int threads : {2, 5}) {
      Collected many;
      WalkTiles(*c.slide, c.plan, threads, many.Sink());
      ASSERT_EQ(many.tiles.size(), one.tiles.size());
      for (const auto& [index, image] : one.tiles) {
        ASSERT_EQ(many.tiles.at(index).pixels, image.pixels);
      }
    }
  }
}

// Precision and recall of damage are one: the tiles that touch a bad stored tile, and no other.
TEST(Walk, ABadTileCostsWhatTouchesItAndNothingElse) {
  int hit = 0;
  for (uint32_t seed = 200; seed < 260; ++seed) {
    Case c(seed);
    Collected clean;
    WalkTiles(*c.slide, c.plan, 1, clean.Sink());
    const int64_t count = c.slide->level(c.plan.level).tile_count();
    for (int k = 0; k < 3; ++k) {
      c.slide->SetBad(c.plan.level, c.draw.Below(static_cast<uint32_t>(count)));
    }
    Collected got;
    const WalkStats stats = WalkTiles(*c.slide, c.plan, 1 + static_cast<int>(seed % 3), got.Sink());
    for (const auto& [index, image] : got.tiles) {
      int64_t bad = -1;
      for (const int64_t i : Needed(c, c.plan.tiles[static_cast<size_t>(index)])) {
        if (bad < 0 && c.slide->IsBad(c.plan.level, i)) bad = i;
      }
      if (c.plan.mode == TileMode::kCrop) {
        ASSERT_EQ(image.empty(), bad >= 0) << "seed " << seed;
      } else if (bad >= 0) {  // and perhaps one that the filter's last pixel, weighing 0, is in
        ASSERT_TRUE(image.empty()) << "seed " << seed;
      }
      if (image.empty()) {
        ++hit;
        if (bad >= 0) {
          EXPECT_THAT(got.errors[index], ::testing::HasSubstr("is bad"));
        }
      } else {
        ASSERT_EQ(image.pixels, clean.tiles.at(index).pixels);
      }
    }
    EXPECT_EQ(stats.bad_tiles > 0, !stats.first_error.empty());
    EXPECT_EQ(stats.tiles_decoded, stats.tiles_covered);
  }
  EXPECT_GT(hit, 50);
}

// The ruler: a white bar of known width on black, exact in microns at every level. What the tiles
// measure it to be, by the scale they claim, is what it is, at 40 scales.
TEST(Walk, FieldsAreTrueToATenthOfAPerCent) {
  const double mpp0 = 0.1003, left = 5.77, width = 270.43;  // um
  const std::vector<double> downsamples = {1, 3.0007, 9.01};
  std::vector<SlideLevel> levels;
  for (const double d : downsamples) levels.push_back(Level(int64_t(3000 / d), 16, d, 48, 48));
  const FakeSlide slide(levels, mpp0, [&](int l, int64_t x, int64_t, int) {
    const double um = mpp0 * downsamples[static_cast<size_t>(l)];  // covered share of the pixel
    const double from = std::max(left, static_cast<double>(x) * um);
    const double to = std::min(left + width, static_cast<double>(x + 1) * um);
    return static_cast<uint8_t>(std::lround(255 * std::max(0.0, to - from) / um));
  });
  for (int k = 0; k < 40; ++k) {
    const double mpp = 0.11 + k * (1.3 - 0.11) / 39;
    const auto size = static_cast<int64_t>(0.95 * 3000 * mpp0 / mpp);
    Plan plan = MakePlan(slide.geometry(), nullptr, Options(mpp, 8));
    plan.tile_size = static_cast<int>(size);  // its lower part is beyond the slide
    plan.tiles = {{0, 0, 1}};
    double bar = 0;
    WalkTiles(slide, plan, 1, [&](int, int64_t, const Image* tile, const std::string&) {
      for (int x = 0; x < tile->width; ++x) bar += tile->at(x, 0)[0] / 255.0;
    });
    EXPECT_NEAR(bar * plan.tile_mpp, width, 0.0005 * width) << mpp;
    if (plan.mode == TileMode::kResample) {
      EXPECT_EQ(plan.tile_mpp, mpp);
    }
  }
}

TEST(Walk, OverlappingTilesAgreeWherePositionsDo) {
  const FakeSlide slide({Level(400, 400, 1, 64, 64)}, 0.4);
  Plan plan = MakePlan(slide.geometry(), nullptr, Options(1.0, 32));  // ratio 2.5
  plan.tiles = {{50, 60, 1}, {60, 60, 1}};                            // 4 outputs on
  Collected got;
  WalkTiles(slide, plan, 2, got.Sink());
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 28; ++x) {
      ASSERT_EQ(got.tiles[0].at(x + 4, y)[2], got.tiles[1].at(x, y)[2]);
    }
  }
}

TEST(Walk, CoarseTilesComeFromShrunkTiles) {
  const FakeSlide slide({Level(800, 700, 1, 64, 64)}, 0.25);
  const Plan plan = MakePlan(slide.geometry(), nullptr, Options(2.3, 20));  // ratio 9.2
  const Coverage coverage(slide.geometry(), plan);
  EXPECT_EQ(coverage.shrink(), 4);
  EXPECT_NEAR(coverage.ratio(), 2.3, 1e-12);
  Collected got;
  WalkTiles(slide, plan, 1, got.Sink());
  // The same from the pyramid level that the means are.
  const FakeSlide shrunk({Level(200, 175, 1, 16, 16)}, 1.0, [&](int, int64_t x, int64_t y, int c) {
    int sum = 8;
    for (int i = 0; i < 16; ++i) sum += FakeSlide::Hash(0, 4 * x + i % 4, 4 * y + i / 4, c);
    return static_cast<uint8_t>(sum / 16);
  });
  Plan same = MakePlan(shrunk.geometry(), nullptr, Options(2.3, 20));
  same.tiles = {{0, 0, 1}};
  WalkTiles(shrunk, same, 1, [&](int, int64_t, const Image* tile, const std::string&) {
    EXPECT_EQ(tile->pixels, got.tiles[0].pixels);
  });
}

TEST(Walk, WorkingSetIsARowOfTiles) {
  // 4 x 4 stored tiles of 16 px. Aligned: one at a time.
  FakeSlide slide({Level(64, 64, 1, 16, 16)}, 0.5);
  Plan plan = MakePlan(slide.geometry(), nullptr, Options(0.5, 16));
  const int64_t tile = 16 * 16 * 3;
  EXPECT_EQ(WorkingSet(slide.geometry(), plan), tile);
  // Half a tile on: a row of four and the two of the next that complete the first.
  for (PlannedTile& t : plan.tiles) t.x += 8, t.y += 8;
  std::erase_if(plan.tiles, [](const PlannedTile& t) { return t.x > 40 || t.y > 40; });
  ASSERT_EQ(plan.tiles.size(), 9u);
  EXPECT_EQ(WorkingSet(slide.geometry(), plan), 6 * tile);
}

TEST(Walk, SinkErrorsEndIt) {
  struct Failure : std::runtime_error {
    using runtime_error::runtime_error;
  };
  for (uint32_t seed = 300; seed < 320; ++seed) {
    const Case c(seed);
    if (c.plan.tiles.empty()) continue;
    const auto fatal = static_cast<int64_t>(c.plan.tiles.size() / 2);
    const auto sink = [&](int, int64_t index, const Image*, const std::string&) {
      if (index == fatal) throw Failure("disk full");
    };
    // Nothing is ever consumed: threads wait at the gate until the failure frees them.
    std::mutex mutex;
    std::condition_variable_any changed;
    const auto gate = [&](int64_t index, const std::stop_token& stop) {
      std::unique_lock lock(mutex);
      return changed.wait(lock, stop, [&] { return index <= fatal; });
    };
    for (const int threads : {1, 2, 4}) {
      EXPECT_THROW(WalkTiles(*c.slide, c.plan, threads, sink, gate), Failure);
    }
  }
}

// The tightest gate, one planned tile ahead, in any plan: a consumer in order never starves.
TEST(Walk, AGateNeverDeadlocks) {
  for (uint32_t seed = 400; seed < 440; ++seed) {
    const Case c(seed);
    std::mutex mutex;
    std::condition_variable_any changed;
    std::set<int64_t> done;
    int64_t consumed = 0;
    const auto sink = [&](int, int64_t index, const Image*, const std::string&) {
      std::lock_guard lock(mutex);
      done.insert(index);
      while (done.erase(consumed)) ++consumed;
      changed.notify_all();
    };
    const auto gate = [&](int64_t index, const std::stop_token& stop) {
      std::unique_lock lock(mutex);
      return changed.wait(lock, stop, [&] { return index <= consumed; });
    };
    const WalkStats stats = WalkTiles(*c.slide, c.plan, 1 + static_cast<int>(seed % 4), sink, gate);
    EXPECT_EQ(consumed, static_cast<int64_t>(c.plan.tiles.size()));
    EXPECT_EQ(stats.tiles_decoded, stats.tiles_covered);
  }
}

TEST(Walk, AGateCanEndIt) {
  const FakeSlide slide({Level(640, 640, 1, 64, 64)}, 0.5);
  const Plan plan = MakePlan(slide.geometry(), nullptr, Options(0.5, 64));
  Collected got;
  const WalkStats stats = WalkTiles(slide, plan, 1, got.Sink(),
                                    [](int64_t i, const std::stop_token&) { return i < 5; });
  EXPECT_EQ(stats.tiles_decoded, 5);
  EXPECT_EQ(got.tiles.size(), 5u);
}

TEST(Walk, AnEmptyPlanIsDone) {
  const FakeSlide slide({Level(64, 64, 1, 16, 16)}, 0.5);
  Plan plan = MakePlan(slide.geometry(), nullptr, Options(0.5, 16));
  plan.tiles.clear();
  Collected got;
  EXPECT_EQ(WalkTiles(slide, plan, 3, got.Sink()).tiles_covered, 0);
  EXPECT_EQ(WorkingSet(slide.geometry(), plan), 0);
}

}  // namespace
}  // namespace eosin::tiling
