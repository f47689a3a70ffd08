// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/objects.h"

#include <queue>

#include "tests/eval/segmentation/made_masks.h"

namespace eosin::eval {
namespace {

using testing::Mask;
using testing::RandomMask;

Objects Connected(const Mask& mask, uint8_t value = 1) {
  return ConnectedObjects(mask.pixels, mask.width, mask.height, value);
}

TEST(ConnectedObjects, DiagonalsTouchAndNumbersFollowTheRows) {
  const Objects objects = Connected(Mask({"..1..2", ".1...1", "1....1", "..1.1."}));
  ASSERT_EQ(objects.count(), 3);
  EXPECT_THAT(objects.label, ::testing::ElementsAre(0, 0, 1, 0, 0, 0,  //
                                                    0, 1, 0, 0, 0, 2,  //
                                                    1, 0, 0, 0, 0, 2,  //
                                                    0, 0, 3, 0, 2, 0));
  EXPECT_EQ(objects.object(1).area, 3);
  EXPECT_EQ(objects.object(2).area, 3);
  EXPECT_EQ(objects.object(2).x0, 4);
  EXPECT_EQ(objects.object(2).x1, 6);
  EXPECT_EQ(objects.object(2).y0, 1);
  EXPECT_EQ(objects.object(2).y1, 4);
}

TEST(ConnectedObjects, ArmsThatMeetLaterAreOne) {
  EXPECT_EQ(Connected(Mask({"1...1", "1...1", "11.11", "..1.."})).count(), 1);
  EXPECT_EQ(Connected(Mask({"1...1", "1...1", "11.11"})).count(), 2);
  EXPECT_EQ(Connected(Mask({"11111", "1...1", "1.1.1", "1...1", "11111"})).count(), 2);
  EXPECT_EQ(Connected(Mask({"...", "..."})).count(), 0);
  EXPECT_EQ(Connected(Mask({"1"})).count(), 1);
}

// Against a flood fill.
TEST(ConnectedObjects, EqualsFloodFill) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    Mask mask(23, 17);
    core::PhiloxStream draw(seed, core::DrawPurpose::kTest, 3, 0);
    for (uint8_t& v : mask.pixels) v = draw.Uniform() < 0.25f + 0.01f * static_cast<float>(seed);
    std::vector<int32_t> expected(mask.pixels.size(), 0);
    int32_t count = 0;
    for (int start = 0; start < 23 * 17; ++start) {
      if (!mask.pixels[static_cast<size_t>(start)] || expected[static_cast<size_t>(start)])
        continue;
      ++count;
      std::queue<int> open({start});
      expected[static_cast<size_t>(start)] = count;
      for (; !open.empty(); open.pop()) {
        const int x = open.front() % 23, y = open.front() / 23;
        for (int dy = -1; dy <= 1; ++dy) {
          for (int dx = -1; dx <= 1; ++dx) {
            if (x + dx < 0 || x + dx >= 23 || y + dy < 0 || y + dy >= 17) continue;
            const auto at = static_cast<size_t>((y + dy) * 23 + x + dx);
            if (!mask.pixels[at] || expected[at]) continue;
            expected[at] = count;
            open.push(static_cast<int>(at));
          }
        }
      }
    }
    const Objects objects = Connected(mask);
    EXPECT_EQ(objects.label, expected) << seed;
    EXPECT_EQ(objects.count(), count);
  }
}

TEST(NumberedObjects, NumbersNeedNoOrderAndNoConnection) {
  const std::vector<uint16_t> numbers = {900, 0, 40000, 900, 0, 7};
  const Objects objects = NumberedObjects(numbers, 3, 2);
  EXPECT_THAT(objects.label, ::testing::ElementsAre(2, 0, 3, 2, 0, 1));
  EXPECT_EQ(objects.object(1).area, 1);
  EXPECT_EQ(objects.object(2).area, 2);
  EXPECT_EQ(objects.object(2).y1, 2);
}

TEST(RemoveIgnored, MoreThanHalfLostIsDropped) {
  const Mask seen({"1111.11", "......."});
  const Mask truth({"..zzzzz", "......."});
  Objects objects = Connected(seen);
  RemoveIgnored(truth.pixels, 35, Connected(truth), &objects);
  ASSERT_EQ(objects.count(), 1);  // half of the first is left, nothing of the second
  EXPECT_EQ(objects.object(1).area, 2);
  EXPECT_EQ(objects.object(1).x1, 2);
  EXPECT_THAT(objects.label, ::testing::ElementsAre(1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
}

TEST(RemoveIgnored, WhatMatchesByItsRestStays) {
  // 5 of 8 px lost; the rest of 3 px against 5 true ones: IoU 3 / 5, then 3 / 6.
  const Mask seen({"11111111.."});
  Objects objects = Connected(seen);
  const Mask match({"zzzzz11111"});
  RemoveIgnored(match.pixels, 35, Connected(match), &objects);
  ASSERT_EQ(objects.count(), 1);
  EXPECT_EQ(objects.object(1).area, 3);
  EXPECT_EQ(objects.object(1).x0, 5);
  objects = Connected(Mask({"11111111..."}));
  const Mask half({"zzzzz111111"});
  RemoveIgnored(half.pixels, 35, Connected(half), &objects);
  EXPECT_EQ(objects.count(), 0);
}

TEST(RemoveSmall, NumbersHaveNoGaps) {
  Objects objects = Connected(Mask({"1.11.111"}));
  RemoveSmall(2, &objects);
  EXPECT_THAT(objects.label, ::testing::ElementsAre(0, 0, 1, 1, 0, 2, 2, 2));
  EXPECT_EQ(objects.object(2).area, 3);
}

}  // namespace
}  // namespace eosin::eval
