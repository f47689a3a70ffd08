// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/preview.h"

#include <algorithm>
#include <cmath>

#include "core/base/philox.h"
#include "tests/testing.h"
#include "tiling/batch/legend.h"

namespace eosin::tiling {
namespace {

using core::Image;

constexpr int kTile = 256;  // level-0 pixels

Overview MadeOverview(int width, int height, uint8_t level, double scale) {
  Overview overview;
  overview.image = Image(width, height, 3, level);
  overview.scale = scale;
  return overview;
}

Plan TilePlan(int64_t side) {
  Plan plan;
  plan.patch_size_level0 = side;
  return plan;
}

Image Decode(const core::Bytes& jpeg) { return core::DecodeRgb(jpeg, "preview"); }

double Distance(const uint8_t* pixel, const std::array<uint8_t, 3>& colour) {
  double sum = 0;
  for (size_t c = 0; c < 3; ++c) sum += std::abs(pixel[c] - colour[c]);
  return sum;
}

TEST(Preview, RejectionColoursAreApart) {
  std::vector<std::array<uint8_t, 3>> colours = {kKeptColour, kBadColour};
  for (int i = 0; i < kRejections; ++i) {
    colours.push_back(RejectionColour(static_cast<Rejection>(i)));
  }
  for (size_t i = 0; i < colours.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      EXPECT_GE(Distance(colours[i].data(), colours[j]), 60) << i << " " << j;
    }
  }
}

TEST(Preview, OutlinesLieWhereTheTilesLie) {
  // 8 level-0 px a pixel: a tile is 32 px of the picture.
  const Overview overview = MadeOverview(640, 480, 240, 8);
  const Previews pictures = DrawPreviews(overview, nullptr, TilePlan(kTile), {{512, 256, 1}},
                                         {{1536, 256, 0.1f, Rejection::kPen}}, {{512, 1280, 1}});
  EXPECT_TRUE(pictures.tissue.empty());
  const Image thumbnail = Decode(pictures.thumbnail), grid = Decode(pictures.grid);
  EXPECT_EQ(thumbnail.width, 640);
  EXPECT_EQ(thumbnail.height, 480);
  EXPECT_EQ(grid.width, 640);
  EXPECT_GT(grid.height, 480);  // the legend
  EXPECT_LE(grid.height, 480 + 2 * 30);
  // Kept: outlined at 64..95 x 32..63, its inside untouched.
  EXPECT_GT(grid.at(64, 48)[2] - grid.at(64, 48)[0], 60);
  EXPECT_GT(grid.at(95, 48)[2] - grid.at(95, 48)[0], 60);
  EXPECT_NEAR(grid.at(80, 48)[0], 240, 6);
  EXPECT_NEAR(grid.at(56, 48)[0], 240, 6);  // outside
  // Rejected by quality: its inside is tinted towards the colour.
  const auto pen = RejectionColour(Rejection::kPen);
  EXPECT_LT(Distance(grid.at(208, 48), pen), Distance(thumbnail.at(208, 48), pen) - 40);
  // Bad: red.
  EXPECT_GT(grid.at(80, 176)[0] - grid.at(80, 176)[1], 60);
}

TEST(Preview, LegibleOnBlackToo) {
  const Overview overview = MadeOverview(640, 480, 4, 8);
  const Image grid = Decode(
      DrawPreviews(overview, nullptr, TilePlan(kTile), {{512, 256, 1}}, {}, {{512, 1280, 1}}).grid);
  EXPECT_GT(grid.at(64, 48)[2], 80);
  EXPECT_GT(grid.at(80, 176)[0], 80);
}

TEST(Preview, ContoursFollowTheMaskOfAnyScale) {
  const Overview overview = MadeOverview(600, 600, 235, 8);
  Image mask(100, 100, 1);  // 48 level-0 px a pixel: 6 px of the picture
  for (int y = 30; y < 60; ++y) std::fill_n(mask.row(y) + 20, 50, uint8_t{255});
  const TissueMask tissue(mask, 48.0);
  const Image picture = Decode(DrawPreviews(overview, &tissue, TilePlan(kTile), {}, {}, {}).tissue);
  EXPECT_EQ(picture.width, 600);
  EXPECT_EQ(picture.height, 600);
  const auto is_green = [&](int x, int y) {
    const uint8_t* p = picture.at(x, y);
    return p[1] > p[0] + 30 && p[1] > p[2] + 30;
  };
  EXPECT_TRUE(is_green(120, 250));  // left edge of the tissue
  EXPECT_TRUE(is_green(419, 250));  // right edge
  EXPECT_TRUE(is_green(200, 180));  // upper edge
  EXPECT_FALSE(is_green(270, 270));
  EXPECT_FALSE(is_green(60, 60));
}

TEST(Preview, LargeOverviewsShrinkAndSmallOnesAreEnlarged) {
  const Previews large =
      DrawPreviews(MadeOverview(3000, 1500, 200, 8), nullptr, TilePlan(kTile), {{0, 0, 1}}, {}, {});
  EXPECT_EQ(Decode(large.thumbnail).width, kPreviewSide);
  EXPECT_EQ(Decode(large.thumbnail).height, kPreviewSide / 2);
  EXPECT_EQ(Decode(large.grid).width, kPreviewSide);
  const Previews small = DrawPreviews(MadeOverview(128, 100, 200, 8), nullptr, TilePlan(kTile),
                                      {{512, 256, 1}}, {}, {});
  EXPECT_EQ(Decode(small.thumbnail).width, 128);
  const Image grid = Decode(small.grid);
  EXPECT_EQ(grid.width, 512);                                  // four times
  EXPECT_GT(grid.at(256, 190)[2] - grid.at(256, 190)[0], 60);  // the tile is at 64 x 32 of 128
  const Previews sliver =
      DrawPreviews(MadeOverview(5000, 1, 200, 8), nullptr, TilePlan(kTile), {}, {}, {});
  EXPECT_EQ(Decode(sliver.thumbnail).height, 1);
}

// 160,000 tiles of 2 px: filled, the picture below still shows, within the budget of bytes.
TEST(Preview, ManyTinyTiles) {
  Overview overview = MadeOverview(1000, 1000, 200, 100);
  core::PhiloxStream random(1, core::DrawPurpose::kTest, 0, 0);
  for (int y = 0; y < 1000; ++y) {
    for (int x = 0; x < 1000; ++x) {
      const int grey = (x / 50 + y / 50) % 2 == 0 ? 220 : 120;
      for (int c = 0; c < 3; ++c) {
        overview.image.at(x, y)[c] =
            static_cast<uint8_t>(grey + static_cast<int>(random.Below(30)));
      }
    }
  }
  std::vector<PlannedTile> kept;
  std::vector<RejectedTile> rejected;
  for (int64_t y = 0; y < 400; ++y) {
    for (int64_t x = 0; x < 400; ++x) {
      kept.push_back({250 * x, 250 * y, 1});
      if (x >= 200) {
        kept.pop_back();
        rejected.push_back({250 * x, 250 * y, 0.9f, Rejection::kBlur});
      }
    }
  }
  const Previews pictures = DrawPreviews(overview, nullptr, TilePlan(250), kept, rejected, {});
  EXPECT_LE(pictures.thumbnail.size() + pictures.grid.size(), 250'000u);
  const Image grid = Decode(pictures.grid);
  const auto mean = [&](int x0, int y0, int c) {
    int sum = 0;
    for (int y = y0; y < y0 + 20; ++y) {
      for (int x = x0; x < x0 + 20; ++x) sum += grid.at(x, y)[c];
    }
    return sum / 400;
  };
  EXPECT_GT(mean(15, 15, 2), mean(15, 15, 0) + 60);    // blue over the kept half
  EXPECT_GT(mean(915, 15, 0), mean(915, 15, 2) + 60);  // orange over the other
  EXPECT_GT(mean(15, 15, 1), mean(65, 15, 1) + 25);    // the squares below still differ
}

// Overlapping tiles are blended once: the same colour however many lie upon one another.
TEST(Preview, OverlapDoesNotDarken) {
  const Overview overview = MadeOverview(800, 800, 200, 100);
  const auto draw = [&](int times) {
    std::vector<PlannedTile> kept(static_cast<size_t>(times), PlannedTile{10000, 10000, 1});
    return Decode(DrawPreviews(overview, nullptr, TilePlan(200), kept, {}, {}).grid);
  };
  const Image once = draw(1), often = draw(9);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(once.at(100, 100)[c], often.at(100, 100)[c]);
}

TEST(Preview, TilesAtTheEdgeStayInside) {
  const Overview overview = MadeOverview(600, 600, 200, 8);
  const Previews pictures = DrawPreviews(overview, nullptr, TilePlan(kTile), {{4799, 4799, 1}},
                                         {{4700, 0, 0, Rejection::kTissue}}, {{0, 4795, 1}});
  EXPECT_EQ(Decode(pictures.grid).width, 600);
}

TEST(Legend, NamesWhatOccurs) {
  const Image picture(300, 100, 3, 128);
  const Image none = WithLegend(picture, {{"kept", kKeptColour, 0}});
  EXPECT_EQ(none.height, 100);
  const Image one = WithLegend(picture, {{"kept", kKeptColour, 1234}, {"pen", kBadColour, 0}});
  EXPECT_GT(one.height, 100);
  EXPECT_EQ(one.width, 300);
  int swatch = 0, ink = 0;
  for (int y = 100; y < one.height; ++y) {
    for (int x = 0; x < one.width; ++x) {
      const uint8_t* p = one.at(x, y);
      swatch += std::equal(p, p + 3, kKeptColour.begin());
      ink += p[0] < 100 && p[1] < 100 && p[2] < 100;
    }
  }
  EXPECT_EQ(swatch, 144);
  EXPECT_GT(ink, 50);  // the text
  std::vector<LegendEntry> many(9, LegendEntry{"little tissue", kKeptColour, 100000});
  EXPECT_GT(WithLegend(picture, many).height, one.height + 22);  // more lines
}

}  // namespace
}  // namespace eosin::tiling
