// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/image_scores.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/philox.h"
#include "eval/segmentation/measures.h"
#include "eval/segmentation/scores_json.h"
#include "tests/eval/segmentation/made_masks.h"

namespace eosin::eval {
namespace {

using testing::Mask;
using testing::RandomMask;

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
  const std::vector<ImageScores> images = {{"a1", "a", Counts(1, 0, 1, 5)},
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

ImageScores Score(const Mask& truth, const Mask& seen, double mpp = 0, double min_area = 0) {
  ScoreOptions options;
  options.min_area = min_area;
  return ScoreMasks({.width = truth.width,
                     .height = truth.height,
                     .truth = truth.pixels,
                     .prediction = seen.pixels,
                     .mpp = mpp},
                    options);
}

TEST(ScoreMasks, ScaleTurnsPixelsIntoMicrons) {
  const Mask truth({"........", ".11.....", ".11.....", "........"});
  const Mask seen({"........", "....11..", "....11..", "........"});
  const ImageScores px = Score(truth, seen), um = Score(truth, seen, 0.5);
  EXPECT_DOUBLE_EQ(px.detail[1].surface.Hausdorff95(), 3);  // three columns to the right
  EXPECT_DOUBLE_EQ(um.detail[1].surface.Hausdorff95(), 1.5);
  EXPECT_DOUBLE_EQ(px.detail[1].objects.Hausdorff(), 3);
  EXPECT_DOUBLE_EQ(um.detail[1].objects.Hausdorff(), 1.5);
  // Distances 3 2 3 2 either way: none within 2 px but half; in um 1.5 and 1: all within 2.
  EXPECT_DOUBLE_EQ(px.detail[1].surface.BoundaryF1(), 0.5);
  EXPECT_DOUBLE_EQ(um.detail[1].surface.BoundaryF1(), 1);
}

TEST(ScoreMasks, SmallPredictedObjectsAreNotObjects) {
  const Mask truth({"11......", "11......", "........"});
  const Mask seen({"11.....1", "11......", "........"});
  EXPECT_EQ(Score(truth, seen).detail[1].objects.predicted, 2);
  EXPECT_DOUBLE_EQ(Score(truth, seen).detail[1].objects.Aji(), 4.0 / 5);
  EXPECT_EQ(Score(truth, seen, 0, 2).detail[1].objects.predicted, 1);
  EXPECT_DOUBLE_EQ(Score(truth, seen, 0, 2).detail[1].objects.Aji(), 1);
  // 1 px = .25 um^2 at .5 um/px: .3 um^2 takes the speck away, .25 does not.
  EXPECT_EQ(Score(truth, seen, 0.5, 0.3).detail[1].objects.predicted, 1);
  EXPECT_EQ(Score(truth, seen, 0.5, 0.25).detail[1].objects.predicted, 2);
  EXPECT_DOUBLE_EQ(Score(truth, seen, 0, 2).counts.Scores(1).dice, 8.0 / 9);  // pixels all count
}

TEST(ScoreMasks, BackgroundAndInstances) {
  const Mask truth({"1111", "1111", "...."});
  const std::vector<uint16_t> numbers = {7, 7, 900, 900, 7, 7, 900, 900, 0, 0, 0, 0};
  MaskPair masks{.width = 4, .height = 3, .truth = truth.pixels, .prediction = truth.pixels};
  EXPECT_EQ(ScoreMasks(masks, {}).detail[0].surface.truth, 0);  // background has no boundary
  EXPECT_EQ(ScoreMasks(masks, {}).detail[1].objects.truth, 1);  // one connected area
  masks.instances = numbers;
  const ObjectScores objects = ScoreMasks(masks, {}).detail[1].objects;
  EXPECT_EQ(objects.truth, 2);  // two touching glands by their numbers
  EXPECT_EQ(objects.predicted, 1);
  EXPECT_DOUBLE_EQ(objects.Pq(), 0);  // IoU with either is a half, not more
}

// A patch was annotated, the rest is ignored: what is predicted beyond it is nobody's fault.
TEST(ScoreMasks, AnnotatedPatch) {
  Mask truth(16, 14), seen(16, 14);
  std::fill(truth.pixels.begin(), truth.pixels.end(), uint8_t{255});
  for (int y = 1; y < 13; ++y) {
    for (int x = 2; x < 12; ++x) seen.pixels[static_cast<size_t>(y * 16 + x)] = 1;  // 10 x 12
  }
  for (int y = 4; y < 10; ++y) {
    for (int x = 4; x < 10; ++x) truth.pixels[static_cast<size_t>(y * 16 + x)] = 1;  // 6 x 6
  }
  ImageScores scores = Score(truth, seen);
  scores.name = "n", scores.patient = "p";
  const ClassDetail& detail = scores.detail[1];
  EXPECT_DOUBLE_EQ(detail.objects.Pq(), 1);
  EXPECT_DOUBLE_EQ(detail.objects.F1(), 1);
  EXPECT_TRUE(std::isnan(detail.surface.BoundaryF1()));  // no boundary can be seen
  EXPECT_EQ(detail.surface.missed + detail.surface.spurious, 0);
  // result.json keeps the objects though there is no boundary.
  const auto back = ScoresFromJson(ScoresToJson({scores}), 2);
  EXPECT_DOUBLE_EQ(back[0].detail[1].objects.Pq(), 1);
  EXPECT_TRUE(ScoresToJson({scores})[0]["objects"][0].is_null());  // background has nothing
  // The same patch, nothing predicted in it: missed, though no boundary says so.
  const ImageScores missed = Score(truth, Mask(16, 14));
  EXPECT_EQ(missed.detail[1].surface.missed, 1);
  EXPECT_EQ(missed.detail[1].objects.missed, 1);
  EXPECT_DOUBLE_EQ(missed.detail[1].objects.Pq(), 0);
}

TEST(ScoreMasks, MissedAndSpurious) {
  const Mask some({"11..", "...."}), none({"....", "...."});
  const SurfaceScores missed = Score(some, none).detail[1].surface;
  const SurfaceScores spurious = Score(none, some).detail[1].surface;
  EXPECT_EQ(missed.missed, 1);
  EXPECT_EQ(missed.spurious, 0);
  EXPECT_EQ(spurious.missed, 0);
  EXPECT_EQ(spurious.spurious, 1);
  EXPECT_EQ(Score(some, some).detail[1].surface.missed, 0);
}

TEST(ScoreMasks, RefusesOtherSizes) {
  const Mask truth({"11", "11"}), seen({"111", "111"});
  testing::ExpectError([&] { Score(truth, seen); }, core::ExitCode::kBadInput, "2 x 2");
}

// Pooling sums by hand: two images of a patient, one class.
TEST(Pooling, DetailIsSummed) {
  ImageScores one = Score(Mask({"11..", "11.."}), Mask({"11..", "11.."}));
  ImageScores two = Score(Mask({"11..", "11.."}), Mask({"....", "...."}));
  one.name = "one", one.patient = "p", one.slide = "s1";
  two.name = "two", two.patient = "p", two.slide = "s2";
  const auto patients = PoolByPatient({one, two});
  ASSERT_EQ(patients.size(), 1u);
  EXPECT_EQ(patients[0].name, "p");
  EXPECT_EQ(patients[0].slide, "");
  const ClassDetail& detail = patients[0].detail[1];
  EXPECT_EQ(detail.surface.missed, 1);
  EXPECT_DOUBLE_EQ(detail.surface.Hausdorff95(), 0);  // of the one image that has a distance
  EXPECT_DOUBLE_EQ(detail.surface.BoundaryRecall(), 0.5);
  EXPECT_DOUBLE_EQ(detail.surface.BoundaryF1(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(detail.objects.F1(), 2.0 / 3);          // one right, one not found
  EXPECT_DOUBLE_EQ(detail.objects.Dice(), (0.5 + 1) / 2);  // truth: 4 of 8 px at 1; predicted: 1
  EXPECT_DOUBLE_EQ(detail.objects.Pq(), 1 / 1.5);
  EXPECT_EQ(PoolBySlide({one, two}).size(), 2u);
  two.slide = "s1";
  EXPECT_EQ(PoolBySlide({one, two}).size(), 1u);
  two.patient = "q";  // another patient's slide of the same name
  ASSERT_EQ(PoolBySlide({one, two}).size(), 2u);
  EXPECT_EQ(PoolBySlide({one, two})[1].name, "s1");
  two.patient = "p";
  two.detail.clear();  // pixels alone: the pool has no more
  EXPECT_TRUE(PoolByPatient({one, two})[0].detail.empty());
  EXPECT_TRUE(std::isnan(FindMeasure("pq").value(PoolByPatient({one, two})[0], 1)));
}

TEST(Pooling, OrderDoesNotMatter) {
  std::vector<ImageScores> images;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    images.push_back(Score(RandomMask(seed, 24, 20, 2), RandomMask(seed + 50, 24, 20, 2), 0.5));
    images.back().name = std::to_string(seed);
    images.back().patient = seed % 2 ? "a" : "b";
  }
  const auto forward = PoolByPatient(images);
  std::reverse(images.begin(), images.end());
  const auto backward = PoolByPatient(images);
  for (const SegmentationMeasure& measure : Measures()) {
    for (size_t p = 0; p < forward.size(); ++p) {
      const double a = measure.value(forward[p], 1), b = measure.value(backward[p], 1);
      EXPECT_TRUE(std::abs(a - b) < 1e-12 || (std::isnan(a) && std::isnan(b))) << measure.name;
    }
  }
}

TEST(ScoresJson, ReadsBackBitForBit) {
  std::vector<ImageScores> images;
  for (uint32_t seed = 0; seed < 3; ++seed) {
    images.push_back(Score(RandomMask(seed, 30, 20, 2), RandomMask(seed + 9, 30, 20, 2), 0.62005));
    images.back().name = "image " + std::to_string(seed);
    images.back().patient = "p";
    images.back().slide = seed ? "s" : "";
  }
  images[2].detail.clear();
  const std::string text = ScoresToJson(images).dump();
  const auto back = ScoresFromJson(nlohmann::ordered_json::parse(text), 2);
  EXPECT_EQ(ScoresToJson(back).dump(), text);
  ASSERT_EQ(back.size(), 3u);
  EXPECT_EQ(back[1].slide, "s");
  EXPECT_TRUE(back[2].detail.empty());
  for (const SegmentationMeasure& measure : Measures()) {
    const double a = measure.value(back[0], 1), b = measure.value(images[0], 1);
    EXPECT_TRUE(a == b || (std::isnan(a) && std::isnan(b))) << measure.name;
  }
  // What version 1 wrote: counts alone.
  const auto old =
      ScoresFromJson(nlohmann::ordered_json::parse(
                         R"([{"name": "t", "patient": "p", "confusion": [[5, 1], [2, 3]]}])"),
                     2);
  EXPECT_EQ(old[0].counts.count(1, 0), 2);
  EXPECT_TRUE(old[0].detail.empty());
  testing::ExpectError([&] { ScoresFromJson(nlohmann::ordered_json::parse(text), 3); },
                       core::ExitCode::kBadInput, "number of classes");
}

TEST(Measures, Names) {
  EXPECT_STREQ(FindMeasure("hd95").title, "Hausdorff 95 %");
  EXPECT_FALSE(FindMeasure("hd95").higher_is_better);
  testing::ExpectError([] { FindMeasure("boundry_f1"); }, core::ExitCode::kUsage, "boundry_f1");
}

}  // namespace
}  // namespace eosin::eval
