// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/surface.h"

#include <cmath>

#include "tests/eval/segmentation/made_masks.h"

namespace eosin::eval {
namespace {

using testing::Mask;
using testing::RandomMask;

constexpr int kIgnore = 35;  // "z"

std::vector<Pixel> Boundary(const Mask& mask, int c) {
  return Boundaries(mask.pixels, mask.width, mask.height, 4, kIgnore)[static_cast<size_t>(c)];
}

SurfaceScores Compare(const Mask& truth, const Mask& seen, double mpp = 1, double tolerance = 2) {
  return CompareBoundaries(Boundary(truth, 1), Boundary(seen, 1), truth.width, truth.height, mpp,
                           tolerance);
}

std::vector<std::string> Drawn(const Mask& mask, int c) {
  std::vector<std::string> rows(static_cast<size_t>(mask.height),
                                std::string(static_cast<size_t>(mask.width), '.'));
  for (const Pixel& p : Boundary(mask, c)) {
    rows[static_cast<size_t>(p.y)][static_cast<size_t>(p.x)] = '#';
  }
  return rows;
}

TEST(Boundaries, InnerPixelsAndTheRim) {
  EXPECT_THAT(Drawn(Mask({".......", ".11111.", ".11111.", ".11111.", "......."}), 1),
              ::testing::ElementsAre(".......", ".#####.", ".#...#.", ".#####.", "......."));
  // Where the object leaves the image its edge is a boundary, as MedPy and bwperim have it.
  EXPECT_THAT(Drawn(Mask({"111", "111", "111"}), 1), ::testing::ElementsAre("###", "#.#", "###"));
  // A diagonal neighbour of another class makes none.
  EXPECT_THAT(Drawn(Mask({"1111", "1111", "1111", "111."}), 1),
              ::testing::ElementsAre("####", "#..#", "#..#", "###."));
}

TEST(Boundaries, IgnoredPixelsMakeNone) {
  EXPECT_THAT(Drawn(Mask({".....", ".111.", ".1zz.", ".111.", "....."}), 1),
              ::testing::ElementsAre(".....", ".###.", ".#...", ".###.", "....."));
  EXPECT_THAT(Drawn(Mask({".....", ".zzz.", ".z1z.", ".zzz.", "....."}), 1),
              ::testing::ElementsAre(".....", ".....", ".....", ".....", "....."));
}

TEST(CompareBoundaries, ShiftedLine) {
  // A pixel each, three apart: distances 3 and 3.
  const SurfaceScores apart = Compare(Mask({"1...."}), Mask({"...1."}));
  EXPECT_EQ(apart.truth, 1);
  EXPECT_DOUBLE_EQ(apart.Hausdorff95(), 3);
  EXPECT_DOUBLE_EQ(apart.MeanDistance(), 3);
  EXPECT_DOUBLE_EQ(apart.BoundaryF1(), 0);
  EXPECT_DOUBLE_EQ(Compare(Mask({"1...."}), Mask({"...1."}), 1, 3).BoundaryF1(), 1);
  // At .5 um/px they are 1.5 um apart.
  EXPECT_DOUBLE_EQ(Compare(Mask({"1...."}), Mask({"...1."}), 0.5).MeanDistance(), 1.5);
  EXPECT_DOUBLE_EQ(Compare(Mask({"1...."}), Mask({"...1."}), 0.5, 1.5).BoundaryF1(), 1);
}

TEST(CompareBoundaries, DirectionsAreAveragedAndPercentilesJoined) {
  // Truth at 0; prediction at 0 and 4: truth to prediction 0; back 0 and 4. ASSD = (0 + 2) / 2.
  const SurfaceScores s = Compare(Mask({"1...."}), Mask({"1...1"}));
  EXPECT_DOUBLE_EQ(s.MeanDistance(), 1);
  EXPECT_DOUBLE_EQ(s.BoundaryPrecision(), 0.5);
  EXPECT_DOUBLE_EQ(s.BoundaryRecall(), 1);
  EXPECT_DOUBLE_EQ(s.BoundaryF1(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(s.Hausdorff95(), 0.9 * 4);  // of 0, 0, 4: rank 1.9, between 0 and 4
}

TEST(CompareBoundaries, OneSideEmpty) {
  const Mask some({"1.."}), none({"..."});
  const SurfaceScores missed = Compare(some, none), spurious = Compare(none, some);
  const SurfaceScores neither = Compare(none, none);
  EXPECT_DOUBLE_EQ(missed.BoundaryF1(), 0);
  EXPECT_DOUBLE_EQ(spurious.BoundaryF1(), 0);
  EXPECT_TRUE(std::isnan(missed.Hausdorff95()));
  EXPECT_TRUE(std::isnan(missed.MeanDistance()));
  EXPECT_TRUE(std::isnan(neither.BoundaryF1()));
}

// Swapping truth and prediction swaps precision and recall and nothing else; turning both masks
// changes nothing; a mask against itself is perfect.
TEST(CompareBoundaries, Symmetries) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const Mask a = RandomMask(seed, 31, 22, 2), b = RandomMask(seed + 1000, 31, 22, 2);
    const SurfaceScores ab = Compare(a, b), ba = Compare(b, a), aa = Compare(a, a);
    EXPECT_DOUBLE_EQ(ab.Hausdorff95(), ba.Hausdorff95());
    EXPECT_NEAR(ab.MeanDistance(), ba.MeanDistance(), 1e-12);
    EXPECT_DOUBLE_EQ(ab.BoundaryPrecision(), ba.BoundaryRecall());
    EXPECT_DOUBLE_EQ(ab.BoundaryF1(), ba.BoundaryF1());
    EXPECT_DOUBLE_EQ(aa.BoundaryF1(), 1);
    EXPECT_DOUBLE_EQ(aa.Hausdorff95(), 0);
    Mask turned_a(22, 31), turned_b(22, 31);
    for (int y = 0; y < 22; ++y) {
      for (int x = 0; x < 31; ++x) {
        const auto from = static_cast<size_t>(y * 31 + x),
                   to = static_cast<size_t>(x * 22 + 21 - y);
        turned_a.pixels[to] = a.pixels[from];
        turned_b.pixels[to] = b.pixels[from];
      }
    }
    const SurfaceScores turned = Compare(turned_a, turned_b);
    EXPECT_DOUBLE_EQ(turned.Hausdorff95(), ab.Hausdorff95());
    EXPECT_NEAR(turned.MeanDistance(), ab.MeanDistance(), 1e-12);
    EXPECT_DOUBLE_EQ(turned.BoundaryF1(), ab.BoundaryF1());
  }
}

}  // namespace
}  // namespace eosin::eval
