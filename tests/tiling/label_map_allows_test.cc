// SPDX-License-Identifier: Apache-2.0
// Where tiles may lie: include and exclude regions.
#include <algorithm>
#include <cmath>

#include "core/base/philox.h"
#include "tests/testing.h"
#include "tiling/annotations/label_map.h"

namespace eosin::tiling {
namespace {

Ring Box(double x0, double y0, double x1, double y1) {
  return {{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}};
}

Annotation Region(const std::string& class_of, Ring outer, std::vector<Ring> holes = {}) {
  return {"", class_of, {{std::move(outer), std::move(holes)}}};
}

LabelMap MapOf(std::vector<Annotation> regions) {
  return LabelMap(std::move(regions), ClassMap::Parse("a=1,in=include,out=exclude"));
}

TEST(LabelMapAllowsTest, WithoutRolesEverythingIsAllowed) {
  EXPECT_TRUE(MapOf({}).Allows(0, 0, 256));
  EXPECT_TRUE(MapOf({Region("a", Box(0, 0, 9, 9))}).Allows(-500, 3, 256));
}

TEST(LabelMapAllowsTest, ExcludeRefusesEveryCommonArea) {
  const LabelMap map = MapOf({Region("out", Box(100, 100, 200, 200), {Box(120, 120, 180, 180)})});
  EXPECT_TRUE(map.Allows(0, 0, 100));    // corners touch
  EXPECT_TRUE(map.Allows(0, 100, 100));  // edges touch
  EXPECT_TRUE(map.Allows(200, 100, 50));
  EXPECT_FALSE(map.Allows(1, 1, 100));     // one pixel
  EXPECT_FALSE(map.Allows(0, 0, 1000));    // the region inside the square
  EXPECT_FALSE(map.Allows(105, 105, 10));  // the square inside the region
  EXPECT_TRUE(map.Allows(120, 120, 60));   // fills the hole
  EXPECT_TRUE(map.Allows(130, 130, 10));
  EXPECT_FALSE(map.Allows(119, 130, 10));
}

TEST(LabelMapAllowsTest, ExcludeSeesWhatNoCentreOrVertexShows) {
  // A sliver between two rows of pixel centres, its ends outside the square.
  EXPECT_FALSE(MapOf({Region("out", Box(-500, 10.6, 500, 10.9))}).Allows(0, 0, 20));
  // A diagonal strip that cuts a corner off without a vertex in it.
  const LabelMap strip = MapOf({Region("out", {{-10, 15}, {15, -10}, {15, -11}, {-10, 14}})});
  EXPECT_FALSE(strip.Allows(0, 0, 20));
  EXPECT_TRUE(strip.Allows(3, 3, 20));  // x + y = 5 passes below the corner (3, 3)
  // A diagonal that only touches the corner.
  const LabelMap corner = MapOf({Region("out", {{0, 10}, {10, 0}, {0, 0}})});
  EXPECT_TRUE(corner.Allows(5, 5, 20));
  EXPECT_FALSE(corner.Allows(4, 5, 20));
}

TEST(LabelMapAllowsTest, IncludeWantsTheWholeSquare) {
  const LabelMap map = MapOf({Region("in", Box(0, 0, 100, 100), {Box(40, 40, 60, 60)})});
  EXPECT_TRUE(map.Allows(0, 0, 40));
  EXPECT_TRUE(map.Allows(60, 60, 40));
  EXPECT_FALSE(map.Allows(0, 0, 41));
  EXPECT_FALSE(map.Allows(61, 61, 40));
  EXPECT_FALSE(map.Allows(-1, 0, 40));
  EXPECT_FALSE(map.Allows(45, 45, 5));
  EXPECT_FALSE(map.Allows(0, 0, 100));
  EXPECT_FALSE(map.Allows(500, 500, 10));
}

TEST(LabelMapAllowsTest, IncludeRegionsCountTogether) {
  // Two triangles and a box share edges; a gap of a pixel does not close.
  const LabelMap map = MapOf(
      {Region("in", {{0, 0}, {200, 0}, {0, 200}}), Region("in", {{200, 0}, {200, 200}, {0, 200}}),
       Region("in", Box(200, 0, 300, 200)), Region("in", Box(301, 0, 400, 200))});
  EXPECT_TRUE(map.Allows(0, 0, 200));
  EXPECT_TRUE(map.Allows(50, 0, 200));
  EXPECT_TRUE(map.Allows(150, 77, 120));
  EXPECT_FALSE(map.Allows(150, 0, 200));
  EXPECT_FALSE(map.Allows(0, 1, 200));
  EXPECT_TRUE(map.Allows(301, 50, 99));
}

TEST(LabelMapAllowsTest, LargeSquaresAreCheckedInStrips) {
  std::vector<Annotation> regions;
  for (int i = 0; i < 10; ++i)
    regions.push_back(Region("in", Box(i * 1000, 0, i * 1000 + 1000, 10000)));
  EXPECT_TRUE(MapOf(regions).Allows(0, 0, 10000));
  regions[7].polygons[0].holes.push_back(Box(7500, 9000, 7501, 9001));
  EXPECT_FALSE(MapOf(regions).Allows(0, 0, 10000));
  EXPECT_TRUE(MapOf(regions).Allows(0, 0, 9000));
}

TEST(LabelMapAllowsTest, ExcludeWinsOverInclude) {
  const LabelMap map =
      MapOf({Region("in", Box(0, 0, 100, 100)), Region("out", Box(50, 50, 60, 60))});
  EXPECT_TRUE(map.Allows(0, 0, 50));
  EXPECT_FALSE(map.Allows(0, 0, 51));
}

// Against masks: an excluded pixel centre in the square always refuses, and where include allows,
// every centre is included.
TEST(LabelMapAllowsTest, AgreesWithTheMasks) {
  core::PhiloxStream draw(4, core::DrawPurpose::kTest, 5, 1);
  const auto ring = [&](double spread) {
    const double cx = draw.Uniform() * 60, cy = draw.Uniform() * 60;
    Ring points;
    const int n = 3 + static_cast<int>(draw.Below(8));
    for (int i = 0; i < n; ++i) {
      points.push_back(
          {cx + draw.Uniform() * spread - spread / 2, cy + draw.Uniform() * spread - spread / 2});
    }
    return points;
  };
  int allowed = 0, refused = 0, fine_only = 0;
  for (int round = 0; round < 3000; ++round) {
    const bool exclude = round % 2 == 0;
    std::vector<Annotation> roles, painted;
    const int regions = 1 + static_cast<int>(draw.Below(exclude ? 3 : 8));
    for (int i = 0; i < regions; ++i) {
      Annotation region = Region(exclude ? "out" : "in", ring(exclude ? 20 : 120));
      if (draw.Bernoulli(0.3f)) region.polygons[0].holes.push_back(ring(6));
      roles.push_back(region);
      region.class_of = "a";
      painted.push_back(region);
    }
    const int x = static_cast<int>(draw.Below(50)), y = static_cast<int>(draw.Below(50));
    const int side = 1 + static_cast<int>(draw.Below(12));
    const core::Image mask = MapOf(painted).Draw(x, y, side, 1);
    const auto set = std::count(mask.pixels.begin(), mask.pixels.end(), 1);
    const bool allows = MapOf(roles).Allows(x, y, side);
    if (exclude) {
      // At 1/16 px almost every common area shows; where only that shows, allowing is wrong too.
      const core::Image fine = MapOf(painted).Draw(x, y, side * 16, 1 / 16.0);
      const bool shows = std::count(fine.pixels.begin(), fine.pixels.end(), 1) > 0;
      ASSERT_FALSE(allows && (set > 0 || shows)) << round;
      fine_only += set == 0 && shows;
    } else {
      ASSERT_EQ(allows, set == static_cast<int64_t>(side) * side) << round;
    }
    (allows ? allowed : refused)++;
  }
  EXPECT_GT(allowed, 300);
  EXPECT_GT(refused, 300);
  EXPECT_GT(fine_only, 10);
}

}  // namespace
}  // namespace eosin::tiling
