// SPDX-License-Identifier: Apache-2.0
// From made numbers to verdict, control, noise floor, label saving and transfer speed.
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "segment/study/analysis/analysis.h"
#include "tests/segment/made_study.h"
#include "tests/testing.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using testing::ExpectError;
using testing::MadeStudy;
using testing::TempFolder;
using testing::TwoArms;

constexpr double kNever = std::numeric_limits<double>::infinity();

TEST(Analysis, HandComputed) {
  // random: .5 and .7 for two patients; ssl: .1 more at half the labels, the same at all.
  const MadeStudy study(TwoArms(6), 2, [](const Job& job, int p) {
    return (p == 0 ? 500 : 700) +
           (job.arm.name == "ssl" && job.level.fraction == 0.5 ? 100.0 : 0.0);
  });
  const Analysis analysis = study.Run();
  ASSERT_EQ(analysis.cells.size(), 4u);
  EXPECT_NEAR(analysis.cells[0].dice_interval.estimate, 0.6, 1e-9);
  // iou = d / (2 - d): .5 -> 1/3, .7 -> 7/13.
  EXPECT_NEAR(analysis.cells[0].iou_interval.estimate, (1.0 / 3 + 7.0 / 13) / 2, 1e-9);
  EXPECT_NEAR(analysis.cells[0].class_dice[1], 0.6, 1e-9);
  EXPECT_NEAR(analysis.cells[0].dice_sd, 0, 1e-12);
  // Micro: TP 1200, FP 2 * 800: 2400 / 4000.
  EXPECT_NEAR(analysis.cells[0].micro_dice, 0.6, 1e-9);
  ASSERT_EQ(analysis.comparisons.size(), 2u);
  const Comparison& primary = analysis.comparisons[0];
  EXPECT_TRUE(primary.primary);
  EXPECT_EQ(primary.arm_a, "ssl");
  EXPECT_NEAR(primary.interval.estimate, 0.1, 1e-9);
  EXPECT_NEAR(primary.interval.low, 0.1, 1e-9);
  EXPECT_DOUBLE_EQ(primary.p, 2.0 / 64);
  EXPECT_DOUBLE_EQ(primary.cliffs_delta, 1);
  EXPECT_DOUBLE_EQ(analysis.comparisons[1].p, 1);
  EXPECT_EQ(analysis.verdict, VerdictKind::kShown);
  EXPECT_THAT(analysis.verdict_sentence,
              ::testing::AllOf(::testing::HasSubstr("ssl is better than random"),
                               ::testing::HasSubstr("on these 2 patients"),
                               ::testing::HasSubstr("+0.100"), ::testing::HasSubstr("50 %")));
}

TEST(Analysis, WorseIsSaidToo) {
  const MadeStudy study(TwoArms(6), 3,
                        [](const Job& job, int) { return job.arm.name == "ssl" ? 400.0 : 600.0; });
  EXPECT_THAT(study.Run().verdict_sentence, ::testing::HasSubstr("random is better than ssl"));
}

TEST(Analysis, TooFewSeedsGiveNoVerdict) {
  const MadeStudy study(TwoArms(3), 4,
                        [](const Job& job, int) { return job.arm.name == "ssl" ? 900.0 : 100.0; });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.verdict, VerdictKind::kNoVerdict);
  EXPECT_THAT(analysis.verdict_sentence, ::testing::HasSubstr("3 seeds cannot reach p < .05"));
}

TEST(Analysis, SkippedArmGivesNoVerdict) {
  StudyOptions options = TwoArms(6);
  options.ssl = "";
  const MadeStudy study(options, 2, [](const Job&, int) { return 500.0; });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.verdict, VerdictKind::kNoVerdict);
  EXPECT_THAT(analysis.verdict_sentence, ::testing::HasSubstr("ssl, which was skipped"));
}

TEST(Analysis, ExploratoryComparisonsAreHolmAdjusted) {
  StudyOptions options = TwoArms(6);
  options.arms = {"random", "ssl_partial", "ssl"};
  const MadeStudy study(options, 2, [](const Job& job, int) {
    return job.arm.name == "random" ? 500.0 : job.arm.name == "ssl" ? 700.0 : 600.0;
  });
  const Analysis analysis = study.Run();
  ASSERT_EQ(analysis.comparisons.size(), 6u);  // 3 pairs x 2 fractions
  EXPECT_TRUE(analysis.comparisons[0].primary);
  for (size_t i = 1; i < 6; ++i) {
    EXPECT_FALSE(analysis.comparisons[i].primary);
    EXPECT_DOUBLE_EQ(analysis.comparisons[i].p, 2.0 / 64);
    EXPECT_DOUBLE_EQ(analysis.comparisons[i].p_holm, 5 * 2.0 / 64);
  }
}

TEST(Analysis, FilesTellTheSame) {
  const MadeStudy study(TwoArms(6), 2,
                        [](const Job& job, int) { return job.arm.name == "ssl" ? 600.0 : 500.0; });
  TempFolder temp;
  const Analysis analysis = study.Run();
  // study.json hashes the weights files of the arms that ran.
  StudyPlan plan = study.plan;
  core::WriteFileAtomic(temp / "ssl.pth", "weights");
  plan.arms[1].init = (temp / "ssl.pth").string();
  WriteAnalysis(study.options, plan, study.results, analysis, temp.path());
  const auto json = nlohmann::json::parse(core::ReadFile(temp / "study.json"));
  EXPECT_EQ(json.at("verdict"), "shown");
  EXPECT_NEAR(json.at("comparisons").at(0).at("difference").at("estimate"), 0.1, 1e-9);
  const std::string csv = core::ReadFile(temp / "results.csv");
  // Header, then 2 arms x 2 fractions x 6 seeds and a repeat x best and last x 2 patients x 2
  // classes.
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + (2 * 2 * 6 + 1) * 2 * 2 * 2);
  EXPECT_THAT(core::ReadFile(temp / "summary.md"), ::testing::HasSubstr(analysis.verdict_sentence));
}

TEST(Analysis, FoldsGiveEveryPatientOneColumn) {
  StudyOptions options = TwoArms(6);
  options.folds = 2;
  const MadeStudy study(options, 5, [](const Job& job, int p) {
    return 500.0 + 20 * p + (job.arm.name == "ssl" ? 50 : 0);
  });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.test_patients, 5);
  EXPECT_EQ(analysis.cells[0].dice.size(), 6u);
  EXPECT_NEAR(analysis.cells[0].dice_interval.estimate, 0.54, 1e-6);
  EXPECT_NEAR(analysis.comparisons[0].interval.estimate, 0.05, 1e-6);
  EXPECT_EQ(analysis.verdict, VerdictKind::kShown);
}

TEST(Analysis, FoldsDifferencesAreTold) {
  StudyOptions options = TwoArms(6);
  options.folds = 2;
  // Patients 0, 2, 4 in fold 0 gain 0.08, patients 1, 3 in fold 1 gain 0.02.
  const MadeStudy study(options, 5, [](const Job& job, int p) {
    return 500.0 + 20 * p + (job.arm.name == "ssl" ? (p % 2 ? 20 : 80) : 0);
  });
  const Analysis analysis = study.Run();
  const Comparison& c = analysis.comparisons[0];
  ASSERT_EQ(c.by_fold.size(), 2u);
  EXPECT_NEAR(c.by_fold[0], 0.08, 1e-6);
  EXPECT_NEAR(c.by_fold[1], 0.02, 1e-6);
  EXPECT_NEAR(c.interval.estimate, (3 * 0.08 + 2 * 0.02) / 5, 1e-6);
  // Student's of two values: .05 -+ 12.706 * .042426 / sqrt(2).
  EXPECT_NEAR(c.fold_interval.estimate, 0.05, 1e-6);
  EXPECT_NEAR(c.fold_interval.high, 0.05 + 12.7062 * 0.03, 1e-4);
  EXPECT_THAT(ScopeSentence(study.plan, analysis), ::testing::HasSubstr("+0.080, +0.020"));
}

// In made studies calling every pixel foreground scores what the first job does: the truth of a
// patient is d pixels of foreground and 2 (1e6 - d) of background.
TEST(Analysis, TellsWhatAConstantScores) {
  const MadeStudy study(TwoArms(6), 2, [](const Job& job, int p) {
    return 400.0 + 100 * p + (job.arm.name == "ssl" ? 80 : 0);
  });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.constant.label, 1);
  EXPECT_NEAR(analysis.constant.score, 0.45, 1e-9);
  const std::string words = ConstantSentence(study.options, study.plan, analysis);
  EXPECT_THAT(words, ::testing::HasSubstr("Calling every pixel foreground would score 0.450 Dice"));
  EXPECT_THAT(words, ::testing::Not(::testing::HasSubstr("ssl")));
  EXPECT_THAT(analysis.verdict_sentence, ::testing::Not(::testing::HasSubstr("neither arm")));
  // A truth in which the first class matters too: half of two classes at best.
  StudyOptions both = TwoArms(6);
  both.segment.data.background = -1;
  const MadeStudy half(both, 2, [](const Job& job, int p) {
    return 400.0 + 100 * p - (job.arm.name == "ssl" ? 80 : 0);
  });
  const Analysis weak = half.Run();
  EXPECT_EQ(weak.constant.label, 0);
  // Patients .4 and .5: background is 1.2 of 1.6 and 1 of 1.5 pixels.
  EXPECT_NEAR(weak.constant.score, (2.4 / 2.8 + 2 / 2.5) / 4, 1e-9);
  EXPECT_THAT(weak.verdict_sentence, ::testing::HasSubstr("But neither arm is better than calling "
                                                          "every pixel background (0.414)"));
}

TEST(Analysis, WithoutANoiseFloorNothingIsShown) {
  StudyOptions options = TwoArms(6);
  options.repeats = 0;
  const MadeStudy study(options, 3,
                        [](const Job& job, int) { return job.arm.name == "ssl" ? 600.0 : 500.0; });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.verdict, VerdictKind::kNotShown);
  EXPECT_THAT(analysis.verdict_sentence, ::testing::HasSubstr("was not measured"));
}

TEST(Analysis, IntervalsStayInsideTheScoresRange) {
  const MadeStudy study(TwoArms(6), 2, [](const Job&, int p) { return p ? 990.0 : 100.0; });
  for (const Cell& cell : study.Run().cells) {
    EXPECT_GE(cell.dice_interval.low, 0);
    EXPECT_LE(cell.dice_interval.high, 1);
    EXPECT_LT(cell.dice_interval.low, cell.dice_interval.high);
  }
}

TEST(Analysis, IncompleteStudiesPairWhatTheyHaveAndGiveNoVerdict) {
  MadeStudy study(TwoArms(6), 4, [](const Job& job, int) {
    return job.arm.name == "ssl" ? 900.0 : 100.0 + static_cast<double>(job.seed);
  });
  // The last seed of one arm is missing.
  for (size_t i = 0; i < study.results.size(); ++i) {
    const Job& job = study.plan.jobs[i];
    if (job.seed == 5 && job.arm.name == "ssl" && job.level.fraction == 0.5)
      study.results[i].reset();
  }
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.verdict, VerdictKind::kNoVerdict);
  EXPECT_THAT(analysis.verdict_sentence, ::testing::HasSubstr("24 of 25 models"));
  EXPECT_EQ(analysis.comparisons[0].by_seed.size(), 5u);
  study.results.assign(study.results.size(), std::nullopt);
  EXPECT_THAT(study.Run().verdict_sentence, ::testing::HasSubstr("No verdict yet: 0 of 25"));
}

TEST(Analysis, NotShownSaysWhatWouldBeNeeded) {
  const MadeStudy study(TwoArms(6), 8, [](const Job& job, int p) {
    core::PhiloxStream stream(7, core::DrawPurpose::kTest, static_cast<uint32_t>(job.seed),
                              static_cast<uint32_t>(p), job.arm.name == "ssl");
    return 600 + 40 * stream.Normal() + (job.arm.name == "ssl" ? 8 : 0);
  });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.verdict, VerdictKind::kNotShown) << analysis.verdict_sentence;
  // More than there is: of one or of the other.
  EXPECT_TRUE(analysis.needed.seeds > 6 || analysis.needed.patients > 8);
  EXPECT_TRUE(analysis.needed.seeds == 0 || analysis.needed.seeds > 6);
  EXPECT_THAT(analysis.verdict_sentence, ::testing::HasSubstr("80 % power"));
}

TEST(Analysis, WhereNeitherSeedsNorPatientsAloneAreEnoughBothAreNamed) {
  const MadeStudy study(TwoArms(6), 8, [](const Job& job, int p) {
    if (job.arm.name != "ssl") return 500.0;
    return 500 + 20 + (job.seed % 2 == 0 ? 24.0 : -24.0) + (p % 2 == 0 ? 60.0 : -60.0);
  });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.verdict, VerdictKind::kNotShown) << analysis.verdict_sentence;
  EXPECT_EQ(analysis.needed.seeds, 0);
  EXPECT_EQ(analysis.needed.patients, 0);
  EXPECT_THAT(
      analysis.verdict_sentence,
      ::testing::ContainsRegex("would take about [0-9]+ patients with 20 seeds; 20 seeds on these "
                               "patients or 100000 patients with 6 seeds would not do\\."));
}

TEST(Analysis, TheNoiseFloorHoldsBackSmallerDifferences) {
  StudyOptions options = TwoArms(6);
  options.repeats = 1;
  double noise = 0;
  auto dice = [&](const Job& job, int) {
    return 500.0 + (job.arm.name == "ssl" ? 10 : 0) + (job.role == JobRole::kRepeat ? noise : 0);
  };
  const Analysis quiet = MadeStudy(options, 4, dice).Run();
  EXPECT_TRUE(quiet.floor.identical);
  EXPECT_EQ(quiet.verdict, VerdictKind::kShown);
  noise = -12;  // the repeat differs by more than the arms do
  const Analysis noisy = MadeStudy(options, 4, dice).Run();
  EXPECT_FALSE(noisy.floor.identical);
  EXPECT_NEAR(noisy.floor.difference, 0.012, 1e-6);
  EXPECT_EQ(noisy.verdict, VerdictKind::kNotShown);
  EXPECT_THAT(noisy.verdict_sentence, ::testing::HasSubstr("noise floor, 0.0120"));
}

TEST(Analysis, TheControlIsNeitherPrimaryNorExploratory) {
  StudyOptions options = TwoArms(6);
  options.arms.push_back("random_again");
  const MadeStudy study(options, 4, [](const Job& job, int p) {
    const double wobble = job.arm.control() ? (job.seed % 2 ? 3 : -3) : 0;
    return 500.0 + 10 * p + wobble + (job.arm.name == "ssl" ? 100 : 0);
  });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.comparisons.size(), 2u);
  ASSERT_TRUE(analysis.control);
  EXPECT_NEAR(analysis.control->interval.estimate, 0, 1e-6);
  EXPECT_DOUBLE_EQ(analysis.control->p, 1);
  EXPECT_THAT(ControlSentence(*analysis.control), ::testing::HasSubstr("no difference"));
}

TEST(LabelSaving, HandComputed) {
  // Reached at once, between 10 and 40 (half way on the logarithm: 20), never.
  EXPECT_DOUBLE_EQ(LabelsToReach({10, 40}, {0.6, 0.8}, 0.6), 10);
  EXPECT_NEAR(LabelsToReach({10, 40}, {0.6, 0.8}, 0.7), 20, 1e-9);
  EXPECT_EQ(LabelsToReach({10, 40}, {0.6, 0.8}, 0.9), kNever);
  EXPECT_DOUBLE_EQ(LabelsToReach({10, 40, 80}, {0.9, 0.5, 0.7}, 0.6), 10);  // the first crossing
}

TEST(LabelSaving, IntervalsAndCensoredEnds) {
  auto flat = [](double value) { return core::SeedPatientTable(6, std::vector<double>(5, value)); };
  auto noisy = [](double value) {
    core::SeedPatientTable table;
    for (int s = 0; s < 6; ++s) {
      table.emplace_back();
      for (int p = 0; p < 5; ++p) table.back().push_back(value + 0.01 * s - 0.01 * p);
    }
    return table;
  };
  const std::vector<LabelCurve> curves = {{"random", {10, 40}, {flat(0.5), flat(0.7)}},
                                          {"better", {10, 40}, {noisy(0.595), noisy(0.795)}},
                                          {"best", {10, 40}, {flat(0.8), flat(0.9)}},
                                          {"worse", {10, 40}, {flat(0.4), flat(0.6)}},
                                          {"short", {40}, {flat(0.9)}}};
  const auto savings = EstimateSavings(curves, "random", 2, {.draws = 2000});
  ASSERT_EQ(savings.size(), 3u);
  EXPECT_NEAR(savings[0].labels, 20, 0.1);
  EXPECT_LT(savings[0].low, 20);
  EXPECT_GT(savings[0].high, 20);
  EXPECT_DOUBLE_EQ(savings[1].labels, 10);
  EXPECT_THAT(SavingWords(savings[1]), ::testing::HasSubstr("at most 10 of 40"));
  EXPECT_EQ(savings[2].labels, kNever);
  EXPECT_THAT(SavingWords(savings[2]), ::testing::HasSubstr("more than 40"));
  EXPECT_TRUE(EstimateSavings(curves, "absent", 2, {}).empty());
}

TEST(Transfer, HandComputed) {
  const std::vector<CurvePoint> curve = {
      {100, 0, 0, 0.2, 0}, {200, 0, 0, 0.6, 0}, {400, 0, 0, std::nan(""), 0}, {800, 0, 0, 1.0, 0}};
  EXPECT_DOUBLE_EQ(StepsToReach(curve, 0.1), 100);
  EXPECT_DOUBLE_EQ(StepsToReach(curve, 0.4), 150);
  EXPECT_DOUBLE_EQ(StepsToReach(curve, 0.8), 720);  // n/a counts as nothing found
  EXPECT_EQ(StepsToReach(curve, 1.1), kNever);
  // Three equal widths of log 2: means .4, .3, .5.
  EXPECT_NEAR(AreaOverLogSteps(curve), 0.4, 1e-12);
  EXPECT_TRUE(std::isnan(AreaOverLogSteps({curve[0]})));
}

TEST(Transfer, PairedBySeedWithTheReference) {
  MadeStudy study(TwoArms(6), 2, [](const Job&, int) { return 500.0; });
  for (size_t i = 0; i < study.results.size(); ++i) {
    const bool ssl = study.plan.jobs[i].arm.name == "ssl";
    // Straight lines to .8 (random, reference) and to 1.0: .72 is reached at 90 and at 72 steps.
    study.results[i]->curve = {{0, 0, 0, 0, 0}, {100, 0, 0, ssl ? 1.0 : 0.8, 0}};
    study.results[i]->curve.front().step = 1;
  }
  const Analysis analysis = study.Run();
  ASSERT_EQ(analysis.transfer.size(), 4u);  // two levels, two arms
  EXPECT_EQ(analysis.transfer[0].reference, "random");
  EXPECT_EQ(analysis.transfer[1].reached, 6);
  EXPECT_NEAR(analysis.transfer[1].steps, 1 + 0.72 * 99, 1e-9);
  const int64_t images = LabelledImages(study.plan, analysis.transfer[1].level);
  EXPECT_NEAR(analysis.transfer[1].epochs * static_cast<double>(images),
              (1 + 0.72 * 99) * static_cast<double>(TwoArms(6).segment.batch), 1e-9);
  EXPECT_NEAR(analysis.transfer[1].ratio.estimate, (1 + 0.72 * 99) / (1 + 0.9 * 99), 1e-9);
  EXPECT_NEAR(analysis.transfer[1].area_difference.estimate, 0.1, 1e-9);
}

TEST(Result, RoundTrip) {
  TempFolder temp;
  SegmentResult result;
  result.fingerprint = "abc";
  result.classes = {"background", "gland"};
  result.train_images = {"x", "y"};
  result.curve = {{10, 0.5, 0.01, std::nan(""), 0.25}};
  eval::ConfusionMatrix counts(2);
  counts.AddCount(1, 0, 7);
  result.test = {{"t", "p", counts}};
  result.drift = {{"stem", 0.5}};
  WriteResult(temp / "result.json", result);
  const SegmentResult back = ReadResult(temp / "result.json");
  EXPECT_EQ(back.fingerprint, "abc");
  EXPECT_EQ(back.train_images, result.train_images);
  EXPECT_TRUE(std::isnan(back.curve[0].val_dice));
  EXPECT_EQ(back.test[0].counts.count(1, 0), 7);
  ASSERT_EQ(back.drift.size(), 1u);
  EXPECT_EQ(back.drift[0].relative, 0.5);
  core::WriteFileAtomic(temp / "bad.json", "{\"format\": 1}");
  ExpectError([&] { ReadResult(temp / "bad.json"); }, ExitCode::kBadInput, "not a result");
}

}  // namespace
}  // namespace eosin::segment
