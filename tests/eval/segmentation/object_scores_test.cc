// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/object_scores.h"

#include <cmath>
#include <tuple>

#include "eval/segmentation/object_hausdorff.h"
#include "tests/eval/segmentation/made_masks.h"

namespace eosin::eval {
namespace {

using testing::Mask;
using testing::RandomMask;

Objects Numbered(const Mask& mask) {
  return NumberedObjects(mask.Numbers(), mask.width, mask.height);
}

ObjectScores Compare(const Mask& truth, const Mask& seen) {
  return CompareObjects(Numbered(truth), Numbered(seen), 1);
}

TEST(ObjectScores, Perfect) {
  const Mask mask({"11.22", "11.22"});
  const ObjectScores s = Compare(mask, mask);
  EXPECT_DOUBLE_EQ(s.F1(), 1);
  EXPECT_DOUBLE_EQ(s.Dice(), 1);
  EXPECT_DOUBLE_EQ(s.Hausdorff(), 0);
  EXPECT_DOUBLE_EQ(s.Aji(), 1);
  EXPECT_DOUBLE_EQ(s.Pq(), 1);
}

// One true object of 4 px split into predictions of 3 and 1 px, and a false object of 2 px.
TEST(ObjectScores, SplitObjectByHand) {
  const ObjectScores s = Compare(Mask({"1111...."}), Mask({"1112..33"}));
  // GlaS: the 3 px piece covers more than half, the 1 px piece does not, 3 has no partner.
  EXPECT_EQ(s.right, 1);
  EXPECT_EQ(s.found, 1);
  EXPECT_DOUBLE_EQ(s.F1(), 2 * (1.0 / 3) * 1 / (1.0 / 3 + 1));
  // Dice of the pairs: {1,1} 6/7, {1,2} 2/5. Predicted: (3 * 6/7 + 1 * 2/5 + 2 * 0) / 6.
  const double predicted = (3 * 6.0 / 7 + 2.0 / 5) / 6;
  EXPECT_DOUBLE_EQ(s.Dice(), (6.0 / 7 + predicted) / 2);
  // Distances: truth and piece 1: 1; piece 2 and truth: 3; object 3 to truth: 6.
  EXPECT_DOUBLE_EQ(s.Hausdorff(), (1 + (3 * 1 + 1 * 3 + 2 * 6) / 6.0) / 2);
  // AJI: 3 / (4 + 1 + 2); PQ: IoU 3/4 over 1 + 2 false / 2.
  EXPECT_DOUBLE_EQ(s.Aji(), 3.0 / 7);
  EXPECT_DOUBLE_EQ(s.Sq(), 0.75);
  EXPECT_DOUBLE_EQ(s.Rq(), 1 / 2.0);
  EXPECT_DOUBLE_EQ(s.Pq(), 0.375);
}

// The challenge's program asks for more than half of the true object, PQ for more than half of both
// together.
TEST(ObjectScores, HalfIsTooLittle) {
  const ObjectScores half = Compare(Mask({"1111"}), Mask({"11.."}));
  EXPECT_EQ(half.right, 0);
  EXPECT_DOUBLE_EQ(half.F1(), 0);
  EXPECT_EQ(half.matched, 0);
  const ObjectScores halves = Compare(Mask({"1111"}), Mask({"1122"}));
  EXPECT_EQ(halves.right, 0);  // 2 FP, 1 FN
  EXPECT_DOUBLE_EQ(halves.F1(), 0);
  const ObjectScores more = Compare(Mask({"1111...."}), Mask({"11122222"}));
  EXPECT_EQ(more.right, 1);  // 3 of 4: TP 1, FP 1, FN 0
  EXPECT_DOUBLE_EQ(more.F1(), 2 * 0.5 * 1 / 1.5);
}

// Two true objects under one prediction: AJI lets it serve both (Kumar's algorithm).
TEST(ObjectScores, MergedObjects) {
  const ObjectScores s = Compare(Mask({"11.222"}), Mask({"111111"}));
  EXPECT_DOUBLE_EQ(s.Aji(), 5.0 / 12);
  EXPECT_EQ(s.right, 1);  // its partner is 2, the larger overlap; 1 is a FN
  EXPECT_DOUBLE_EQ(s.F1(), 2 * 1 * 0.5 / 1.5);
}

TEST(ObjectScores, OneSideEmpty) {
  const Mask some({"11.."}), none({"...."});
  const ObjectScores missed = Compare(some, none), spurious = Compare(none, some);
  for (const ObjectScores& s : {missed, spurious}) {
    EXPECT_DOUBLE_EQ(s.F1(), 0);
    EXPECT_DOUBLE_EQ(s.Dice(), 0);
    EXPECT_DOUBLE_EQ(s.Aji(), 0);
    EXPECT_DOUBLE_EQ(s.Pq(), 0);
    EXPECT_TRUE(std::isnan(s.Sq()));
    EXPECT_TRUE(std::isnan(s.Hausdorff()));
  }
  EXPECT_EQ(missed.missed, 1);
  EXPECT_EQ(spurious.spurious, 1);
  const ObjectScores neither = Compare(none, none);
  for (const double value : {neither.F1(), neither.Dice(), neither.Aji(), neither.Pq()}) {
    EXPECT_TRUE(std::isnan(value));
  }
}

// Brute force over all pixels of both objects, on objects with holes and gaps.
TEST(SquaredHausdorff, EqualsAllPairs) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const Mask a = RandomMask(seed, 30, 25, 3), b = RandomMask(seed + 77, 30, 25, 3);
    const Objects one = Numbered(a), two = Numbered(b);
    for (int i = 1; i <= one.count(); ++i) {
      NearestObject nearest{0, INT64_MAX};
      for (int j = 1; j <= two.count(); ++j) {
        int64_t expected = 0;
        for (const auto& [from, k, to, l] :
             {std::tuple(&one, i, &two, j), std::tuple(&two, j, &one, i)}) {
          for (int p = 0; p < 30 * 25; ++p) {
            if (from->label[static_cast<size_t>(p)] != k) continue;
            int64_t best = INT64_MAX;
            for (int q = 0; q < 30 * 25; ++q) {
              if (to->label[static_cast<size_t>(q)] != l) continue;
              const int64_t dx = p % 30 - q % 30, dy = p / 30 - q / 30;
              best = std::min(best, dx * dx + dy * dy);
            }
            expected = std::max(expected, best);
          }
        }
        ASSERT_EQ(SquaredHausdorff(one, i, two, j), expected) << seed << " " << i << " " << j;
        if (expected < nearest.squared) nearest = {j, expected};
      }
      if (two.count() == 0) continue;
      const NearestObject found = FindNearest(one, i, two);
      EXPECT_EQ(found.number, nearest.number);
      EXPECT_EQ(found.squared, nearest.squared);
    }
  }
}

// The farthest pixel of a filled prediction from a ring is in the middle, not on an outline.
TEST(SquaredHausdorff, LooksInside) {
  const Mask ring({"1111111", "1.....1", "1.....1", "1.....1", "1.....1", "1.....1", "1111111"});
  Mask disc(7, 7);
  std::fill(disc.pixels.begin(), disc.pixels.end(), uint8_t{1});
  EXPECT_EQ(SquaredHausdorff(Numbered(ring), 1, Numbered(disc), 1), 9);
}

// Symmetric in truth and prediction but for AJI (by definition), and blind to numbering.
TEST(ObjectScores, Symmetries) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const Mask a = RandomMask(seed, 28, 28, 5), b = RandomMask(seed + 500, 28, 28, 5);
    const ObjectScores ab = Compare(a, b), ba = Compare(b, a);
    EXPECT_NEAR(ab.Dice(), ba.Dice(), 1e-12);
    EXPECT_NEAR(ab.Hausdorff(), ba.Hausdorff(), 1e-12);
    EXPECT_NEAR(ab.Pq(), ba.Pq(), 1e-12);
    Mask renamed = b;
    for (uint8_t& v : renamed.pixels) v = v ? static_cast<uint8_t>(v + 40) : 0;
    const ObjectScores other = Compare(a, renamed);
    EXPECT_DOUBLE_EQ(other.Dice(), ab.Dice());
    EXPECT_DOUBLE_EQ(other.Aji(), ab.Aji());
    EXPECT_LE(ab.Aji(), 1);
    EXPECT_GE(ab.Aji(), 0);
    EXPECT_NEAR(ab.Pq(), std::isnan(ab.Sq()) ? 0 : ab.Sq() * ab.Rq(), 1e-12);
  }
}

}  // namespace
}  // namespace eosin::eval
