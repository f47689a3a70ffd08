// SPDX-License-Identifier: Apache-2.0
// Class masks: hand-drawn rasters first, then a plain point-in-polygon test over random shapes.
#include "tiling/annotations/label_map.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "core/base/philox.h"
#include "tests/testing.h"

namespace eosin::tiling {
namespace {

using core::PhiloxStream;

PhiloxStream Draws(uint32_t sample) { return PhiloxStream(4, core::DrawPurpose::kTest, 3, sample); }

Ring Box(double x0, double y0, double x1, double y1) {
  return {{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}};
}

Annotation Region(const std::string& class_of, Ring outer, std::vector<Ring> holes = {}) {
  return {"", class_of, {{std::move(outer), std::move(holes)}}};
}

// Rows of digits, '.' for 0, '#' for 255.
std::vector<std::string> Rows(const core::Image& mask) {
  std::vector<std::string> rows;
  for (int r = 0; r < mask.height; ++r) {
    std::string row;
    for (int c = 0; c < mask.width; ++c) {
      const uint8_t value = *mask.at(c, r);
      row += value == 0 ? '.' : value == kIgnoreLabel ? '#' : static_cast<char>('0' + value);
    }
    rows.push_back(row);
  }
  return rows;
}

std::vector<std::string> Drawn(std::vector<Annotation> regions, int size = 5, double downsample = 1,
                               double x = 0, double y = 0) {
  const ClassMap classes =
      ClassMap::Parse("a=1,b=2,c=3,hole=background,no=ignore,in=include,out=exclude");
  return Rows(LabelMap(std::move(regions), classes).Draw(x, y, size, downsample));
}

using Picture = std::vector<std::string>;

TEST(LabelMapTest, TriangleByPixelCentres) {
  // Right angle at the origin; the diagonal x + y = 5 passes through centres (x + y + 1 = 5), which
  // are on a right-hand edge and so outside.
  EXPECT_EQ(Drawn({Region("a", {{0, 0}, {5, 0}, {0, 5}})}),
            (Picture{"1111.", "111..", "11...", "1....", "....."}));
  // The other half has the diagonal on its left: inside. Together they are the square.
  EXPECT_EQ(Drawn({Region("a", {{0, 0}, {5, 0}, {0, 5}}), Region("b", {{5, 0}, {5, 5}, {0, 5}})}),
            (Picture{"11112", "11122", "11222", "12222", "22222"}));
}

TEST(LabelMapTest, EdgesThroughCentresAreHalfOpen) {
  // From 0.5 to 3.5: columns and rows 0, 1, 2 (left and upper edge in, right and lower out).
  EXPECT_EQ(Drawn({Region("a", Box(0.5, 0.5, 3.5, 3.5))}),
            (Picture{"111..", "111..", "111..", ".....", "....."}));
  // Just beyond a centre and just before it.
  EXPECT_EQ(Drawn({Region("a", Box(0.5001, 0.4999, 3.5001, 3.4999))}),
            (Picture{".111.", ".111.", ".111.", ".....", "....."}));
  // Narrower than a pixel: seen only when it holds a centre.
  EXPECT_EQ(Drawn({Region("a", Box(1.4, 0, 1.6, 5)), Region("b", Box(3.1, 0, 3.4, 5))}),
            (Picture{".1...", ".1...", ".1...", ".1...", ".1..."}));
}

TEST(LabelMapTest, HolesShowWhatIsBelow) {
  EXPECT_EQ(Drawn({Region("b", Box(0, 0, 5, 2)), Region("a", Box(0, 0, 5, 5), {Box(1, 1, 4, 4)})}),
            (Picture{"11111", "12221", "1...1", "1...1", "11111"}));
  // Holes that overlap or reach outside take away, never add.
  EXPECT_EQ(Drawn({Region("a", Box(1, 1, 4, 4), {Box(2, 2, 5, 5), Box(2, 2, 4, 4)})}),
            (Picture{".....", ".111.", ".1...", ".1...", "....."}));
}

TEST(LabelMapTest, SelfIntersectionsAreEvenOdd) {
  // A bow tie, and a square wound round twice.
  EXPECT_EQ(Drawn({Region("a", {{0, 0}, {5, 5}, {5, 0}, {0, 5}})}),
            (Picture{"....1", "1..11", "11111", "1..11", "....1"}));
  EXPECT_EQ(Drawn({Region("a", {{0, 0}, {4, 0}, {4, 4}, {0, 4}, {0, 0}, {2, 0}, {2, 2}, {0, 2}})}),
            (Picture{"..11.", "..11.", "1111.", "1111.", "....."}));
}

TEST(LabelMapTest, LaterRegionsWinAndRolesPaint) {
  EXPECT_EQ(Drawn({Region("a", Box(0, 0, 3, 3)), Region("b", Box(1, 1, 4, 4)),
                   Region("no", Box(2, 2, 5, 5)), Region("c", Box(4, 4, 5, 5)),
                   Region("hole", Box(0, 0, 1, 2)), Region("in", Box(0, 0, 5, 5)),
                   Region("out", Box(0, 0, 5, 5))}),
            (Picture{".11..", ".222.", "12###", ".2###", "..##3"}));
}

TEST(LabelMapTest, PartsOfARegionAreDrawnTogether) {
  Annotation parts = Region("a", Box(0, 0, 1, 1));
  parts.polygons.push_back({Box(3, 3, 5, 5), {}});
  EXPECT_EQ(Drawn({parts}), (Picture{"1....", ".....", ".....", "...11", "...11"}));
}

TEST(LabelMapTest, DownsampledTilesTakeCentres) {
  // Pixels of 2.004 px: centres 1.002, 3.006, 5.01, 7.014, 9.018 from the corner.
  EXPECT_EQ(Drawn({Region("a", Box(11.001, 23.0, 17.013, 25.009))}, 5, 2.004, 10, 20),
            (Picture{".....", "111..", ".....", ".....", "....."}));
  EXPECT_EQ(Drawn({Region("a", Box(11.003, 23.0, 17.015, 25.02))}, 5, 2.004, 10, 20),
            (Picture{".....", ".111.", ".111.", ".....", "....."}));
  // Finer than level 0.
  EXPECT_EQ(Drawn({Region("a", Box(1, 1, 2, 2))}, 6, 0.5),
            (Picture{"......", "......", "..11..", "..11..", "......", "......"}));
}

TEST(LabelMapTest, TilesBeyondTheRegionsAndNegativePlaces) {
  EXPECT_EQ(Drawn({Region("a", Box(-3, -2, 1, 1))}, 4, 1, -4, -3),
            (Picture{"....", ".111", ".111", ".111"}));
  EXPECT_EQ(Drawn({Region("a", Box(0, 0, 4, 4))}, 2, 1, 1e12, 1e12), (Picture{"..", ".."}));
  EXPECT_EQ(Drawn({Region("a", Box(-1e12, -1e12, 1e12, 1e12))}, 2, 1, 0, 0), (Picture{"11", "11"}));
  EXPECT_EQ(Drawn({Region("a", Ring(9, Vertex{1, 1})), Region("a", {})}), Picture(5, "....."));
}

TEST(LabelMapTest, WideTilesCrossWordBorders) {
  const LabelMap map({Region("a", Box(63, 0, 65, 200)), Region("b", Box(128, 0, 192, 200))},
                     ClassMap::Parse("a=1,b=2"));
  const core::Image mask = map.Draw(0, 0, 200, 1);
  for (int c = 0; c < 200; ++c) {
    const int expected = c == 63 || c == 64 ? 1 : c >= 128 && c < 192 ? 2 : 0;
    EXPECT_EQ(*mask.at(c, 0), expected) << c;
    EXPECT_EQ(*mask.at(c, 199), expected) << c;
  }
}

TEST(LabelMapTest, NamesAnUnknownClass) {
  testing::ExpectError(
      [] { LabelMap({Region("tumour", Box(0, 0, 1, 1))}, ClassMap::Parse("tumor=1,roi=include")); },
      core::ExitCode::kBadInput, "class 'tumour', which the class map does not know (it knows roi");
  testing::ExpectError([] { LabelMap({Region("", Box(0, 0, 1, 1))}, ClassMap()); },
                       core::ExitCode::kBadInput, "class 'unclassified'");
  const LabelMap map({Region("", Box(0, 0, 1, 1))}, ClassMap::Parse("unclassified=7"));
  EXPECT_EQ(Rows(map.Draw(0, 0, 1, 1)), Picture{"7"});
  for (const auto& [size, downsample] :
       std::vector<std::pair<int, double>>{{0, 1}, {1, 0}, {1, NAN}}) {
    testing::ExpectError([&, s = size, d = downsample] { map.Draw(0, 0, s, d); },
                         core::ExitCode::kUsage, "cannot be drawn");
  }
}

TEST(LabelMapTest, EmptyMeansNothingToDraw) {
  const ClassMap classes = ClassMap::Parse("a=1,no=ignore,in=include,out=exclude");
  EXPECT_TRUE(LabelMap({}, classes).empty());
  EXPECT_TRUE(
      LabelMap({Region("in", Box(0, 0, 1, 1)), Region("out", Box(0, 0, 1, 1))}, classes).empty());
  EXPECT_FALSE(LabelMap({Region("no", Box(0, 0, 1, 1))}, classes).empty());
}

// Plain definition. Coordinates are quarters, so every comparison below is exact.
bool InRing(const Ring& ring, double x, double y) {
  bool inside = false;
  for (size_t i = 0; i < ring.size(); ++i) {
    Vertex a = ring[i], b = ring[(i + 1) % ring.size()];
    if (a.y > b.y) std::swap(a, b);
    if (a.y <= y && y < b.y && (y - a.y) * (b.x - a.x) <= (x - a.x) * (b.y - a.y)) inside = !inside;
  }
  return inside;
}

bool InPolygon(const Polygon& polygon, double x, double y) {
  return InRing(polygon.outer, x, y) &&
         std::none_of(polygon.holes.begin(), polygon.holes.end(),
                      [&](const Ring& hole) { return InRing(hole, x, y); });
}

Ring RandomRing(PhiloxStream& draw, int most, uint32_t quarters) {
  Ring ring;
  const int n = 3 + static_cast<int>(draw.Below(static_cast<uint32_t>(most)));
  for (int i = 0; i < n; ++i) {
    ring.push_back({draw.Below(quarters) * 0.25 - 2, draw.Below(quarters) * 0.25 - 2});
  }
  return ring;
}

TEST(LabelMapTest, EqualsPointInPolygonForRandomShapes) {
  PhiloxStream draw = Draws(1);
  const ClassMap classes = ClassMap::FromNames({"1", "2", "3", "4"});
  int64_t set = 0;
  for (int round = 0; round < 4000; ++round) {
    std::vector<Annotation> regions;
    const uint32_t count = 1 + draw.Below(4);
    for (uint32_t i = 0; i < count; ++i) {
      Annotation region = Region(std::to_string(1 + draw.Below(4)), RandomRing(draw, 12, 100));
      const uint32_t holes = draw.Below(4);
      for (uint32_t h = 0; h < holes; ++h) {
        region.polygons[0].holes.push_back(RandomRing(draw, 5, 100));
      }
      regions.push_back(region);
    }
    const double step = round % 3 == 0 ? 1 : round % 3 == 1 ? 1.25 : 2.004;
    // Off the quarters where centres are not quarters themselves: a tie would be decided by
    // rounding.
    const double off = step == 2.004 ? 0.123456789 : 0;
    const double x = draw.Below(8) * 0.25 - 3 + off, y = draw.Below(8) * 0.25 - 3 + off;
    const core::Image mask = LabelMap(regions, classes).Draw(x, y, 20, step);
    for (int r = 0; r < 20; ++r) {
      for (int c = 0; c < 20; ++c) {
        uint8_t expected = 0;
        for (const Annotation& region : regions) {
          if (InPolygon(region.polygons[0], x + (c + 0.5) * step, y + (r + 0.5) * step)) {
            expected = classes.entries.at(region.class_of).id;
          }
        }
        set += expected > 0;
        ASSERT_EQ(*mask.at(c, r), expected) << round << " column " << c << " row " << r;
      }
    }
  }
  EXPECT_GT(set, 200000);
}

// A random cut of the square into cells that share edges: every pixel belongs to exactly one.
TEST(LabelMapTest, SharedEdgesNeitherOverlapNorLeaveGaps) {
  PhiloxStream draw = Draws(2);
  for (int round = 0; round < 200; ++round) {
    constexpr int kCells = 6;
    Vertex grid[kCells + 1][kCells + 1];
    for (int i = 0; i <= kCells; ++i) {
      for (int j = 0; j <= kCells; ++j) {
        const bool border_x = j == 0 || j == kCells, border_y = i == 0 || i == kCells;
        // Half the rounds on pixel centres, where ties are; else anywhere.
        const double dx = round % 2 ? draw.Uniform() * 4 - 2 : draw.Below(9) * 0.5 - 2;
        const double dy = round % 2 ? draw.Uniform() * 4 - 2 : draw.Below(9) * 0.5 - 2;
        grid[i][j] = {j * 10 + (border_x ? 0 : dx), i * 10 + (border_y ? 0 : dy)};
      }
    }
    int64_t total = 0;
    for (int i = 0; i < kCells; ++i) {
      for (int j = 0; j < kCells; ++j) {
        Ring ring = {grid[i][j], grid[i][j + 1], grid[i + 1][j + 1], grid[i + 1][j]};
        if (draw.Bernoulli(0.5f)) std::reverse(ring.begin(), ring.end());
        std::rotate(ring.begin(), ring.begin() + draw.Below(4), ring.end());
        const core::Image mask =
            LabelMap({Region("a", ring)}, ClassMap::Parse("a=1")).Draw(0, 0, 60, 1);
        for (const uint8_t v : mask.pixels) total += v;
      }
    }
    ASSERT_EQ(total, 3600) << round;
  }
}

std::vector<Annotation> ManyRegions(int count, double extent) {
  PhiloxStream draw = Draws(3);
  std::vector<Annotation> regions;
  for (int i = 0; i < count; ++i) {
    const double cx = draw.Uniform() * extent, cy = draw.Uniform() * extent;
    const double radius = i % 50 == 0 ? extent / 4 : 4 + draw.Uniform() * 30;
    const int n = i % 50 == 0 ? 2000 : 12;
    Ring ring;
    for (int k = 0; k < n; ++k) {
      const double angle = 6.283185307179586 * k / n;
      const double r = radius * (0.7 + 0.3 * draw.Uniform());
      ring.push_back({cx + r * std::cos(angle), cy + r * std::sin(angle)});
    }
    Annotation region = Region(std::to_string(i % 200), ring);
    if (i % 5 == 0) {
      region.polygons[0].holes.push_back(Box(cx - radius / 4, cy - radius / 4, cx + 1, cy + 1));
    }
    regions.push_back(region);
  }
  return regions;
}

ClassMap Numbers() {
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) names.push_back(std::to_string(i));
  return ClassMap::FromNames(names);
}

TEST(LabelMapTest, TilesAreCutsOfOneBigDrawing) {
  for (const double step : {1.0, 2.0, 2.004}) {
    const LabelMap map(ManyRegions(600, 512 * step), Numbers());
    const core::Image big = map.Draw(0, 0, 512, step);
    for (int ty = 0; ty < 8; ++ty) {
      for (int tx = 0; tx < 8; ++tx) {
        const core::Image tile = map.Draw(tx * 64 * step, ty * 64 * step, 64, step);
        for (int r = 0; r < 64; ++r) {
          ASSERT_TRUE(std::equal(tile.row(r), tile.row(r) + 64, big.at(tx * 64, ty * 64 + r)))
              << step << " tile " << tx << "," << ty << " row " << r;
        }
      }
    }
  }
}

TEST(LabelMapTest, TheIndexFindsWhatAPlainSearchFinds) {
  const std::vector<Annotation> regions = ManyRegions(3000, 20000);
  const ClassMap classes = Numbers();
  const LabelMap map(regions, classes);
  PhiloxStream draw = Draws(4);
  int64_t set = 0;
  for (int round = 0; round < 300; ++round) {
    const double x = std::floor(draw.Uniform() * 20000), y = std::floor(draw.Uniform() * 20000);
    const core::Image mask = map.Draw(x, y, 2, 16);
    for (int p = 0; p < 4; ++p) {
      const double cx = x + (p % 2 + 0.5) * 16, cy = y + (p / 2 + 0.5) * 16;
      uint8_t expected = 0;
      for (const Annotation& region : regions) {
        if (InPolygon(region.polygons[0], cx, cy))
          expected = classes.entries.at(region.class_of).id;
      }
      set += expected > 0;
      ASSERT_EQ(*mask.at(p % 2, p / 2), expected) << round;
    }
  }
  EXPECT_GT(set, 600);
}

// Spikes as long as the slide beside, across and beyond every tile: what lies to the left of a tile
// counts, what lies to the right does not.
TEST(LabelMapTest, LongEdgesOnEverySideOfATile) {
  PhiloxStream draw = Draws(6);
  Ring ring;
  for (int i = 0; i < 400; ++i) ring.push_back({draw.Below(4000) * 0.25, draw.Below(4000) * 0.25});
  const Polygon polygon{ring, {}};
  const LabelMap map({Region("a", ring)}, ClassMap::Parse("a=1"));
  for (int round = 0; round < 60; ++round) {
    const double x = draw.Below(1100) - 50.0, y = draw.Below(1100) - 50.0;
    const core::Image mask = map.Draw(x, y, 16, 1);
    for (int r = 0; r < 16; ++r) {
      for (int c = 0; c < 16; ++c) {
        ASSERT_EQ(*mask.at(c, r), InPolygon(polygon, x + c + 0.5, y + r + 0.5)) << round;
      }
    }
  }
}

TEST(LabelMapTest, ThreadsDrawTheSame) {
  const LabelMap map(ManyRegions(500, 4000), Numbers());
  std::vector<core::Image> alone(40), together(40);
  for (int i = 0; i < 40; ++i) alone[static_cast<size_t>(i)] = map.Draw(i * 97, i * 89, 128, 1.5);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < 40; i += 4) {
        together[static_cast<size_t>(i)] = map.Draw(i * 97, i * 89, 128, 1.5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(alone[i].pixels, together[i].pixels);
}

TEST(LabelMapTest, MovesKeepWorking) {
  LabelMap a({Region("a", Box(0, 0, 2, 2))}, ClassMap::Parse("a=1"));
  LabelMap b(std::move(a));
  LabelMap c({}, ClassMap());
  c = std::move(b);
  EXPECT_EQ(Rows(c.Draw(0, 0, 2, 1)), (Picture{"11", "11"}));
}

}  // namespace
}  // namespace eosin::tiling
