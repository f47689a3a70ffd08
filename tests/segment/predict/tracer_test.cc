// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/polygon_tracer.h"

#include <algorithm>
#include <map>

#include "core/base/philox.h"
#include "tests/segment/predict/traced_maps.h"

namespace eosin::testing {
namespace {

using namespace segment;

TEST(PolygonTracer, OnePixel) {
  const auto regions = TraceText({"..", ".a"});
  ASSERT_EQ(regions.size(), 1U);
  EXPECT_EQ(regions[0].pixels, 1);
  ASSERT_EQ(regions[0].rings.size(), 1U);
  EXPECT_EQ(Turned(regions[0].rings[0]), (Outline{{1, 1}, {2, 1}, {2, 2}, {1, 2}}));
}

TEST(PolygonTracer, CornersOnlyWhereItTurns) {
  const auto regions = TraceText({"aaaa", "aaaa", "aa.."});
  ASSERT_EQ(regions.size(), 1U);
  EXPECT_EQ(Turned(regions[0].rings[0]), (Outline{{0, 0}, {4, 0}, {4, 2}, {2, 2}, {2, 3}, {0, 3}}));
}

TEST(PolygonTracer, HolesRunTheOtherWay) {
  const auto regions = TraceText({"aaa", "a.a", "aaa"});
  ASSERT_EQ(regions.size(), 1U);
  ASSERT_EQ(regions[0].rings.size(), 2U);
  std::vector<double> areas = {RingArea(regions[0].rings[0]), RingArea(regions[0].rings[1])};
  std::sort(areas.begin(), areas.end());
  EXPECT_EQ(areas, (std::vector<double>{-1, 9}));
}

TEST(PolygonTracer, DiagonalPixelsAreTwoRegions) {
  EXPECT_EQ(TraceText({"a.", ".a"}).size(), 2U);
  EXPECT_EQ(TraceText({".a", "a."}).size(), 2U);
  EXPECT_EQ(TraceText({"ab", "ba"}).size(), 4U);
}

TEST(PolygonTracer, NestedHolesAndIslands) {
  const auto regions = TraceText({"aaaaaaa",  //
                                  "a.....a",  //
                                  "a.bbb.a",  //
                                  "a.b.b.a",  //
                                  "a.bbb.a",  //
                                  "a.....a",  //
                                  "aaaaaaa"});
  ASSERT_EQ(regions.size(), 2U);  // b is done first
  EXPECT_EQ(regions[0].label, 1);
  EXPECT_EQ(regions[0].pixels, 8);
  EXPECT_EQ(regions[0].rings.size(), 2U);
  EXPECT_EQ(regions[1].label, 0);
  EXPECT_EQ(regions[1].pixels, 24);
  EXPECT_EQ(regions[1].rings.size(), 2U);
}

TEST(PolygonTracer, SpiralIsOneRing) {
  const auto regions = TraceText({"aaaaaaa",  //
                                  "......a",  //
                                  "aaaaa.a",  //
                                  "a...a.a",  //
                                  "a.aaa.a",  //
                                  "a.....a",  //
                                  "aaaaaaa"});
  ASSERT_EQ(regions.size(), 1U);
  EXPECT_EQ(regions[0].rings.size(), 1U);
  EXPECT_EQ(RingArea(regions[0].rings[0]), static_cast<double>(regions[0].pixels));
}

TEST(PolygonTracer, JoinedAtTheBottomIsOneRegion) {
  const auto regions = TraceText({"a.a.a", "a.a.a", "aaaaa"});
  ASSERT_EQ(regions.size(), 1U);
  EXPECT_EQ(regions[0].rings.size(), 1U);
  EXPECT_EQ(regions[0].pixels, 11);
}

TEST(PolygonTracer, MemoryFollowsWhatIsOpen) {
  PolygonTracer tracer(64, std::vector<bool>(256, true), [](const TracedRegion&) {});
  std::vector<uint8_t> row(64);
  for (int y = 0; y < 1000; ++y) {
    for (size_t x = 0; x < 64; ++x) row[x] = static_cast<uint8_t>((x / 4 + y / 4) % 2);
    tracer.AddRow(row.data());
    EXPECT_LE(tracer.corners(), 64);
  }
}

// Too many corners: cut along a row, and still every pixel is in exactly one region.
TEST(PolygonTracer, CutsInsteadOfGrowing) {
  const int width = 40, height = 200;
  std::vector<uint8_t> labels = RandomLabels(width, height, 2, 3);
  for (int y = 0; y < height; ++y) labels[static_cast<size_t>(y) * width] = 1;  // one long region
  int64_t pixels = 0, regions = 0, most = 0;
  std::vector<bool> traced(256);
  traced[0] = traced[1] = true;
  std::vector<uint8_t> drawn(labels.size(), kNotPredicted);
  PolygonTracer tracer(
      width, traced,
      [&](const TracedRegion& region) {
        pixels += region.pixels;
        ++regions;
        Fill(region.rings, region.label, width, height, &drawn);
      },
      300);
  for (int y = 0; y < height; ++y) {
    tracer.AddRow(labels.data() + static_cast<ptrdiff_t>(y) * width);
    most = std::max(most, tracer.corners());
  }
  tracer.Finish();
  EXPECT_GT(tracer.cuts(), 0);
  EXPECT_LT(most, 300 + 8 * width);
  EXPECT_EQ(pixels, int64_t{width} * height);
  EXPECT_EQ(drawn, labels);
  EXPECT_EQ(tracer.corners(), 0);
}

// Rings drawn by the even-odd rule give the map back; regions are the 4-connected patches.
TEST(PolygonTracer, RandomMapsComeBack) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const int width = 1 + static_cast<int>(seed * 7 % 41), height = 1 + static_cast<int>(seed % 23);
    const int classes = 2 + static_cast<int>(seed % 3);
    const std::vector<uint8_t> labels = RandomLabels(width, height, classes, seed);
    std::vector<uint8_t> drawn(labels.size(), kNotPredicted);
    int64_t regions = 0;
    for (const TracedRegion& region : Trace(labels, width)) {
      double area = 0;
      int outer = 0;
      for (const Outline& ring : region.rings) {
        area += RingArea(ring);
        outer += RingArea(ring) > 0;
      }
      ASSERT_EQ(outer, 1) << seed;
      ASSERT_EQ(area, static_cast<double>(region.pixels)) << seed;
      Fill(region.rings, region.label, width, height, &drawn);
      ++regions;
    }
    ASSERT_EQ(drawn, labels) << seed;
    ASSERT_EQ(regions, CountPatches(labels, width)) << seed;
  }
}

}  // namespace
}  // namespace eosin::testing
