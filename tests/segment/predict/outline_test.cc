// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/outline.h"

#include <cmath>
#include <map>

#include "tests/segment/predict/traced_maps.h"

namespace eosin::testing {
namespace {

using namespace segment;

double Distance(Vertex2 p, Vertex2 a, Vertex2 b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  const double t =
      std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy), 0.0, 1.0);
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

// The farthest that points along `from` lie from `to`.
double Farthest(const std::vector<VertexRing>& from, const std::vector<VertexRing>& to) {
  double most = 0;
  for (const VertexRing& ring : from) {
    for (size_t i = 0; i < ring.size(); ++i) {
      const Vertex2 a = ring[i], b = ring[(i + 1) % ring.size()];
      for (int step = 0; step < 8; ++step) {
        const Vertex2 p{a.x + (b.x - a.x) * step / 8, a.y + (b.y - a.y) * step / 8};
        double least = 1e9;
        for (const VertexRing& other : to) {
          for (size_t k = 0; k < other.size(); ++k) {
            least = std::min(least, Distance(p, other[k], other[(k + 1) % other.size()]));
          }
        }
        most = std::max(most, least);
      }
    }
  }
  return most;
}

int Side(Vertex2 a, Vertex2 b, Vertex2 p) {
  const double cross = (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
  return cross > 1e-9 ? 1 : cross < -1e-9 ? -1 : 0;
}

bool OnSegment(Vertex2 p, Vertex2 a, Vertex2 b) { return Distance(p, a, b) < 1e-9; }

bool Meet(Vertex2 a, Vertex2 b, Vertex2 c, Vertex2 d) {
  if (Side(a, b, c) * Side(a, b, d) < 0 && Side(c, d, a) * Side(c, d, b) < 0) return true;
  return OnSegment(c, a, b) || OnSegment(d, a, b) || OnSegment(a, c, d) || OnSegment(b, c, d);
}

// Do any two edges meet but neighbours at their common vertex?
bool Touches(const std::vector<VertexRing>& rings) {
  for (size_t r = 0; r < rings.size(); ++r) {
    const size_t n = rings[r].size();
    for (size_t i = 0; i < n; ++i) {
      for (size_t q = r; q < rings.size(); ++q) {
        const size_t m = rings[q].size();
        for (size_t k = q == r ? i + 1 : 0; k < m; ++k) {
          if (q == r && (k == i + 1 || (i == 0 && k == n - 1))) continue;
          if (Meet(rings[r][i], rings[r][(i + 1) % n], rings[q][k], rings[q][(k + 1) % m])) {
            return true;
          }
        }
      }
    }
  }
  return false;
}

TEST(ExactOutline, TakesDiagonalHolesApart) {
  const auto regions = TraceText({"aaaa", "a.aa", "aa.a", "aaaa"});
  ASSERT_EQ(regions.size(), 1U);
  const OutlinePolygon polygon = ExactOutline(regions[0]);
  ASSERT_EQ(polygon.rings.size(), 3U);
  EXPECT_EQ(TwiceArea(polygon.rings[0]), 32);
  EXPECT_EQ(TwiceArea(polygon.rings[1]), -2);
  EXPECT_EQ(TwiceArea(polygon.rings[2]), -2);
}

// A ring that bites its own corner: outer ring and hole that touch there.
TEST(ExactOutline, ClosedByADiagonal) {
  const auto regions = TraceText({"aaaa", "a..a", "a.a.", "aaa."});
  ASSERT_EQ(regions.size(), 1U);
  const OutlinePolygon polygon = ExactOutline(regions[0]);
  ASSERT_EQ(polygon.rings.size(), 2U);
  EXPECT_EQ(TwiceArea(polygon.rings[0]) + TwiceArea(polygon.rings[1]),
            2.0 * static_cast<double>(regions[0].pixels));
}

TEST(ExactOutline, RandomMapsGiveSimpleRings) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const int width = 30, height = 20;
    const std::vector<uint8_t> labels = RandomLabels(width, height, 2, seed);
    std::vector<uint8_t> drawn(labels.size(), kNotPredicted);
    for (const TracedRegion& region : Trace(labels, width)) {
      const OutlinePolygon polygon = ExactOutline(region);
      for (size_t i = 0; i < polygon.rings.size(); ++i) {
        EXPECT_EQ(TwiceArea(polygon.rings[i]) > 0, i == 0);
        ASSERT_FALSE(Touches({polygon.rings[i]})) << seed;
      }
      Fill(polygon.rings, region.label, width, height, &drawn);
    }
    ASSERT_EQ(drawn, labels) << seed;
  }
}

TEST(SimplifiedOutline, StraightStairsBecomeALine) {
  std::vector<std::string> rows;
  for (int y = 0; y < 40; ++y)
    rows.push_back(std::string(static_cast<size_t>(y) + 1, 'a') +
                   std::string(static_cast<size_t>(39 - y), '.'));
  const auto regions = TraceText(rows);
  ASSERT_EQ(regions.size(), 1U);
  EXPECT_EQ(regions[0].rings[0].size(), 80U + 2);
  EXPECT_LE(SimplifiedOutline(regions[0]).rings[0].size(), 8U);
}

TEST(SimplifiedOutline, OnePixelStaysAPolygon) {
  const OutlinePolygon polygon = SimplifiedOutline(TraceText({"a"})[0]);
  ASSERT_EQ(polygon.rings.size(), 1U);
  EXPECT_EQ(polygon.rings[0].size(), 4U);
  EXPECT_EQ(TwiceArea(polygon.rings[0]), 1);
}

TEST(SimplifiedOutline, ADiscNeedsFewerVertices) {
  const int side = 200;
  std::vector<uint8_t> labels;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      labels.push_back(std::hypot(x - 99.5, y - 99.5) < 90 ? 0 : kNotPredicted);
    }
  }
  const auto regions = Trace(labels, side);
  ASSERT_EQ(regions.size(), 1U);
  const VertexRing ring = SimplifiedOutline(regions[0]).rings[0];
  EXPECT_LT(ring.size(), 230U);  // half a pixel is tight: a third of the pixels on the way
  EXPECT_GT(regions[0].rings[0].size(), 300U);
  EXPECT_NEAR(TwiceArea(ring) / 2, static_cast<double>(regions[0].pixels),
              0.005 * static_cast<double>(regions[0].pixels));
}

// Never farther than half a pixel from the exact outline, nor the exact outline from it; no ring
// touches itself or another of its polygon.
TEST(SimplifiedOutline, StaysNearAndNeverCrosses) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const int width = 26, height = 18;
    const std::vector<uint8_t> labels = RandomLabels(width, height, 2 + seed % 2, seed);
    for (const TracedRegion& region : Trace(labels, width)) {
      const OutlinePolygon polygon = SimplifiedOutline(region);
      std::vector<VertexRing> exact;
      for (const Outline& ring : region.rings) {
        VertexRing& copy = exact.emplace_back();
        for (const Corner& c : ring) copy.push_back({double(c.x), double(c.y)});
      }
      ASSERT_LE(Farthest(polygon.rings, exact), kOutlineError + 1e-9) << seed;
      ASSERT_LE(Farthest(exact, polygon.rings), kOutlineError + 1e-9) << seed;
      ASSERT_FALSE(Touches(polygon.rings)) << seed;
      for (size_t i = 0; i < polygon.rings.size(); ++i) {
        ASSERT_GE(polygon.rings[i].size(), 3U);
        ASSERT_EQ(TwiceArea(polygon.rings[i]) > 0, i == 0) << seed;
      }
    }
  }
}

}  // namespace
}  // namespace eosin::testing
