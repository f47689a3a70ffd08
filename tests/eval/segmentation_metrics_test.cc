// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "eval/segmentation_metrics.h"
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
  EXPECT_TRUE(std::isnan(predicted_only.Scores(1).recall));
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

ConfusionMatrix Counts(int64_t tp, int64_t fp, int64_t fn, int64_t tn) {
  ConfusionMatrix m(2);
  m.AddCount(1, 1, tp);
  m.AddCount(0, 1, fp);
  m.AddCount(1, 0, fn);
  m.AddCount(0, 0, tn);
  return m;
}

TEST(Pooling, PatientsThenMacro) {
  // Patient a: two images of 1 TP 1 FN and 3 TP 1 FP: pooled dice 8 / 10. Patient b: 1 TP 3 FP:
  // 2/5.
  const std::vector<ImageCounts> images = {{"a1", "a", Counts(1, 0, 1, 5)},
                                           {"b1", "b", Counts(1, 3, 0, 5)},
                                           {"a2", "a", Counts(3, 1, 0, 5)},
                                           {"c1", "c", Counts(0, 0, 0, 9)}};
  const auto patients = PoolByPatient(images);
  ASSERT_EQ(patients.size(), 3u);
  EXPECT_EQ(patients[0].patient, "a");
  EXPECT_DOUBLE_EQ(patients[0].counts.Scores(1).dice, 0.8);
  EXPECT_DOUBLE_EQ(MacroScore(patients, Metric::kDice, 1), (0.8 + 0.4) / 2);  // c is n/a
  EXPECT_DOUBLE_EQ(MacroScore(patients, Metric::kDice, -1, 0), 0.6);
  // Micro: 5 TP, 4 FP, 1 FN.
  EXPECT_DOUBLE_EQ(PoolAll(images, 2).Scores(1).dice, 10.0 / 15);
}

}  // namespace
}  // namespace eosin::eval
