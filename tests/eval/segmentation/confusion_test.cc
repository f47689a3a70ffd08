// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/confusion.h"

#include <cmath>

#include "core/base/philox.h"
#include "tests/testing.h"

namespace eosin::eval {
namespace {

using Bytes = std::vector<uint8_t>;

// Truth 0 0 1 1 1 2, prediction 0 1 1 1 2 2: TP = 1, 2, 1.
ConfusionMatrix Example() {
  ConfusionMatrix matrix(4);
  matrix.Add(Bytes{0, 0, 1, 1, 1, 2, 255}, Bytes{0, 1, 1, 1, 2, 2, 3});
  return matrix;
}

TEST(ConfusionMatrix, HandComputed) {
  const ConfusionMatrix m = Example();
  EXPECT_EQ(m.total(), 6);  // the ignored pixel does not count, nor its prediction
  EXPECT_EQ(m.count(0, 1), 1);
  EXPECT_EQ(m.count(1, 2), 1);
  const ClassScores c0 = m.Scores(0), c1 = m.Scores(1), c2 = m.Scores(2);
  EXPECT_DOUBLE_EQ(c0.iou, 1.0 / 2);  // TP 1, FN 1
  EXPECT_DOUBLE_EQ(c0.dice, 2.0 / 3);
  EXPECT_DOUBLE_EQ(c0.precision, 1.0);
  EXPECT_DOUBLE_EQ(c0.recall, 0.5);
  EXPECT_DOUBLE_EQ(c1.iou, 2.0 / 4);  // TP 2, FP 1, FN 1
  EXPECT_DOUBLE_EQ(c1.dice, 4.0 / 6);
  EXPECT_DOUBLE_EQ(c2.iou, 1.0 / 2);  // TP 1, FP 1
  EXPECT_DOUBLE_EQ(c2.precision, 0.5);
  EXPECT_DOUBLE_EQ(c2.recall, 1.0);
  EXPECT_DOUBLE_EQ(m.PixelAccuracy(), 4.0 / 6);
}

TEST(ConfusionMatrix, AbsentClassIsNotApplicable) {
  const ConfusionMatrix m = Example();
  EXPECT_TRUE(std::isnan(m.Scores(3).dice));  // in neither: n/a, not 0 and not 1
  EXPECT_DOUBLE_EQ(m.MeanScore(Metric::kIou), 0.5);
  EXPECT_DOUBLE_EQ(m.MeanScore(Metric::kDice, 0), 2.0 / 3);
  ConfusionMatrix predicted_only(2);
  predicted_only.Add(Bytes{0, 0}, Bytes{0, 1});
  EXPECT_DOUBLE_EQ(predicted_only.Scores(1).dice, 0);  // predicted but absent: wrong, so 0
  EXPECT_DOUBLE_EQ(predicted_only.Scores(1).precision, 0);
  EXPECT_TRUE(std::isnan(predicted_only.Scores(1).recall));
  ConfusionMatrix truth_only(3);
  truth_only.Add(Bytes{0, 1}, Bytes{0, 0});
  EXPECT_DOUBLE_EQ(truth_only.Scores(1).precision, 0);  // missed: no excuse for the mean
  EXPECT_DOUBLE_EQ(truth_only.Scores(1).recall, 0);
  EXPECT_TRUE(std::isnan(truth_only.Scores(2).precision));
  ConfusionMatrix nothing(2);
  nothing.Add(Bytes{0, 0}, Bytes{0, 0});
  EXPECT_TRUE(std::isnan(nothing.MeanScore(Metric::kDice, 0)));
}

TEST(ConfusionMatrix, RefusesWhatIsNoClass) {
  ConfusionMatrix m(2);
  testing::ExpectError([&] { m.Add(Bytes{2}, Bytes{0}); }, core::ExitCode::kBadInput, "class 2");
  testing::ExpectError([&] { m.Add(Bytes{0}, Bytes{0, 1}); }, core::ExitCode::kBadInput, "2");
  testing::ExpectError([&] { m.Merge(ConfusionMatrix(3)); }, core::ExitCode::kBadInput, "pooled");
}

// Against counting pixel by pixel, over made masks with runs of every length.
TEST(ConfusionMatrix, EqualsPixelByPixel) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    core::PhiloxStream draw(seed, core::DrawPurpose::kTest, 0, 0);
    Bytes truth, seen;
    while (truth.size() < 500) {
      const auto t = static_cast<uint8_t>(draw.Below(4)), p = static_cast<uint8_t>(draw.Below(3));
      for (uint32_t k = draw.Below(9); k-- > 0;) {
        truth.push_back(t == 3 ? 255 : t);
        seen.push_back(p);
      }
    }
    ConfusionMatrix fast(3), slow(3);
    fast.Add(truth, seen);
    for (size_t i = 0; i < truth.size(); ++i) {
      if (truth[i] != 255) slow.AddCount(truth[i], seen[i], 1);
    }
    for (int t = 0; t < 3; ++t) {
      for (int p = 0; p < 3; ++p) EXPECT_EQ(fast.count(t, p), slow.count(t, p));
    }
  }
}

}  // namespace
}  // namespace eosin::eval
