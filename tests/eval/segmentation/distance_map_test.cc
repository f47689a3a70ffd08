// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/distance_map.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "tests/eval/segmentation/made_masks.h"

namespace eosin::eval {
namespace {

using testing::Mask;

std::vector<Pixel> Members(const Mask& mask) {
  std::vector<Pixel> points;
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      if (mask.pixels[static_cast<size_t>(y * mask.width + x)]) points.push_back({x, y});
    }
  }
  return points;
}

std::vector<Pixel> AllPixels(int width, int height) {
  std::vector<Pixel> points;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) points.push_back({x, y});
  }
  return points;
}

// Every pixel, each row asked for so often that it is solved as a whole (the lower envelope).
std::vector<int64_t> BySolvedRows(const DistanceMap& map, int width, int height) {
  std::vector<int64_t> all;
  for (int y = 0; y < height; ++y) {
    std::vector<Pixel> row;
    for (int x = 0; x < 10 * width; ++x) row.push_back({x % width, y});
    const auto found = map.Squared(row);
    all.insert(all.end(), found.end() - width, found.end());
  }
  return all;
}

TEST(DistanceMap, ByHand) {
  const Mask mask({"1....", ".....", "....1"});
  const DistanceMap map(5, 3, Members(mask));
  EXPECT_THAT(map.Squared(AllPixels(5, 3)),
              ::testing::ElementsAre(0, 1, 4, 5, 4, 1, 2, 5, 2, 1, 4, 5, 4, 1, 0));
  const std::vector<Pixel> asked = {{2, 1}, {0, 2}, {4, 2}};
  EXPECT_THAT(map.Squared(asked), ::testing::ElementsAre(5, 4, 0));
}

TEST(DistanceMap, EmptySetIsFar) {
  const DistanceMap map(4, 3, {});
  const std::vector<Pixel> asked = {{0, 0}, {3, 2}};
  EXPECT_THAT(map.Squared(asked), ::testing::Each(DistanceMap::kFar));
  EXPECT_THAT(BySolvedRows(map, 4, 3), ::testing::Each(DistanceMap::kFar));
}

// Both ways to a distance (search, lower envelope) against all pairs.
TEST(DistanceMap, EqualsAllPairs) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    core::PhiloxStream draw(seed, core::DrawPurpose::kTest, 2, 0);
    const int width = 1 + static_cast<int>(draw.Below(40));
    const int height = 1 + static_cast<int>(draw.Below(40));
    std::vector<Pixel> set;
    for (uint32_t k = 1 + draw.Below(seed % 3 == 0 ? 2 : 60); k > 0; --k) {
      set.push_back({static_cast<int>(draw.Below(static_cast<uint32_t>(width))),
                     static_cast<int>(draw.Below(static_cast<uint32_t>(height)))});
    }
    const auto pixels = AllPixels(width, height);
    std::vector<int64_t> expected;
    for (const Pixel& p : pixels) {
      int64_t nearest = DistanceMap::kFar;
      for (const Pixel& q : set) {
        nearest = std::min<int64_t>(nearest, (p.x - q.x) * (p.x - q.x) + (p.y - q.y) * (p.y - q.y));
      }
      expected.push_back(nearest);
    }
    const DistanceMap map(width, height, set);
    EXPECT_EQ(BySolvedRows(map, width, height), expected) << seed;
    EXPECT_EQ(map.Squared(pixels), expected) << seed;
    auto shuffled = pixels;  // no order of rows
    core::Shuffle(shuffled, draw);
    const auto found = map.Squared(shuffled);
    for (size_t i = 0; i < shuffled.size(); ++i) {
      EXPECT_EQ(found[i], expected[static_cast<size_t>(shuffled[i].y * width + shuffled[i].x)]);
    }
  }
}

TEST(DistanceMap, EqualsScipy) {
  const auto fixture = testing::FixtureFolder() / "segmentation" / "distances.json";
  for (const auto& entry : nlohmann::json::parse(core::ReadFile(fixture))) {
    const Mask mask(entry.at("set").get<std::vector<std::string>>());
    const DistanceMap map(mask.width, mask.height, Members(mask));
    EXPECT_EQ(map.Squared(AllPixels(mask.width, mask.height)),
              entry.at("squared").get<std::vector<int64_t>>());
  }
}

}  // namespace
}  // namespace eosin::eval
