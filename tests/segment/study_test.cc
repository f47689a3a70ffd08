// SPDX-License-Identifier: Apache-2.0
// Options, plan, analysis and the resumable runner, with a made trainer instead of a network.
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/files.h"
#include "segment/study/analysis.h"
#include "segment/study/report.h"
#include "segment/study/run.h"
#include "tests/segment/made_data.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using testing::ExpectError;
using testing::TempFolder;

StudyOptions TwoArms(int64_t seeds) {
  StudyOptions options;
  options.arms = {"random", "ssl"};
  options.ssl = "ssl.pth";
  options.fractions = {0.5, 1.0};
  options.seeds = seeds;
  options.primary = "ssl-random@0.5:dice";
  options.bootstrap_draws = 1000;
  return options;
}

// A study on made numbers: dice(arm, fraction, seed, patient) in thousandths.
struct MadeStudy {
  template <typename Dice>
  MadeStudy(StudyOptions study, int patients, Dice dice) : options(std::move(study)) {
    plan.arms = ResolveArms(options);
    for (int p = 0; p < patients; ++p) plan.split.test.push_back(p);
    for (int64_t seed = 0; seed < options.seeds; ++seed) {
      for (const double fraction : options.fractions) {
        for (const Arm& arm : plan.arms) {
          if (!arm.skipped.empty()) continue;
          plan.jobs.push_back({arm, fraction, seed, arm.name + std::to_string(seed), {}});
          SegmentResult result;
          result.classes = options.segment.data.classes;
          for (int p = 0; p < patients; ++p) {
            // 2 TP / (2 TP + FP) with TP = d and FP = 2 (1000 - d) is d / 1000.
            const int64_t d = dice(arm.name, fraction, seed, p);
            eval::ConfusionMatrix counts(2);
            counts.AddCount(1, 1, d);
            counts.AddCount(0, 1, 2 * (1000 - d));
            result.test.push_back(
                {"image" + std::to_string(p), "patient" + std::to_string(p), counts});
          }
          result.test_last = result.test;
          results.push_back(std::move(result));
        }
      }
    }
  }
  Analysis Run() const { return Analyze(options, plan, results); }
  StudyOptions options;
  StudyPlan plan;
  std::vector<SegmentResult> results;
};

TEST(StudyOptions, ParsePrimary) {
  const PrimaryComparison p = ParsePrimary("ssl_partial-random@0.1:iou");
  EXPECT_EQ(p.arm_a, "ssl_partial");
  EXPECT_EQ(p.arm_b, "random");
  EXPECT_DOUBLE_EQ(p.fraction, 0.1);
  EXPECT_EQ(p.metric, eval::Metric::kIou);
  for (const char* bad : {"", "ssl-random", "ssl@0.1:dice", "ssl-random@x:dice", "ssl-random@0.1",
                          "ssl-random@0.1:auc", "-random@0.1:dice"}) {
    ExpectError([&] { ParsePrimary(bad); }, ExitCode::kUsage, "does not name a comparison");
  }
}

TEST(StudyOptions, Check) {
  auto check = [](auto change, const std::string& text) {
    StudyOptions options = TwoArms(3);
    change(options);
    ExpectError([&] { options.Check(); }, ExitCode::kUsage, text);
  };
  EXPECT_NO_THROW(TwoArms(3).Check());
  check([](auto& o) { o.arms = {"random", "sssl"}; }, "sssl");
  check([](auto& o) { o.arms = {"random", "random", "ssl"}; }, "twice");
  check([](auto& o) { o.primary = "imagenet-random@0.5:dice"; }, "no arm of this study");
  check([](auto& o) { o.primary = "ssl-random@0.1:dice"; }, "not in study.fractions");
  check([](auto& o) { o.primary = "ssl-ssl@0.5:dice"; }, "with itself");
  check([](auto& o) { o.fractions = {1.0, 0.5}; }, "must rise");
}

TEST(Plan, FullyCrossedAndPaired) {
  StudyOptions options = TwoArms(3);
  options.arms = {"random", "imagenet", "ssl", "mine=weights.pth"};
  const std::vector<std::vector<int64_t>> pixels(8, {5, 5});
  const ImageSplit split{{0, 1, 2, 3}, {4, 5}, {6, 7}};
  const StudyPlan plan = PlanStudy(options, pixels, split);
  ASSERT_EQ(plan.arms.size(), 4u);
  EXPECT_THAT(plan.arms[1].skipped, ::testing::HasSubstr("weights.imagenet"));
  EXPECT_EQ(plan.arms[3].init, "weights.pth");
  EXPECT_EQ(plan.jobs.size(), 3u * 2 * 3);  // the skipped arm has none
  std::set<std::string> names;
  std::map<std::pair<double, int64_t>, std::vector<int64_t>> subsets;
  for (const Job& job : plan.jobs) {
    names.insert(job.name);
    const auto [place, is_new] = subsets.try_emplace({job.fraction, job.seed}, job.train);
    EXPECT_EQ(place->second, job.train) << "arms differ in their labels: " << job.name;
  }
  EXPECT_EQ(names.size(), plan.jobs.size());
  EXPECT_TRUE(names.contains("random-0.5-s0"));
  // The multiplier is 1 for random weights only; freezing by the arm.
  EXPECT_EQ(plan.arms[0].backbone_lr, 1.0);
  EXPECT_EQ(plan.arms[2].backbone_lr, 0.1);
  options.arms = {"ssl_partial", "ssl_frozen"};
  EXPECT_EQ(ResolveArms(options)[0].freeze, "layer2");
  EXPECT_EQ(ResolveArms(options)[1].freeze, "all");
}

TEST(JobOptions, ArmsOfOneSeedDifferInTheStartOnly) {
  const StudyOptions options = TwoArms(2);
  const auto arms = ResolveArms(options);
  auto toml = [](SegmentOptions job) {
    job.init = job.freeze = "";
    job.backbone_lr = 0;
    core::OptionSet set;
    job.Bind(set);
    return set.ToToml();
  };
  EXPECT_EQ(toml(JobOptions(options, {arms[0], 0.5, 1, "", {}})),
            toml(JobOptions(options, {arms[1], 0.5, 1, "", {}})));
  EXPECT_NE(toml(JobOptions(options, {arms[0], 0.5, 0, "", {}})),
            toml(JobOptions(options, {arms[0], 0.5, 1, "", {}})));
}

TEST(Analysis, HandComputed) {
  // random: .5 and .7 for two patients; ssl: .1 more at half the labels, the same at all.
  const MadeStudy study(TwoArms(6), 2, [](const std::string& arm, double fraction, int64_t, int p) {
    return (p == 0 ? 500 : 700) + (arm == "ssl" && fraction == 0.5 ? 100 : 0);
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
  const MadeStudy study(TwoArms(6), 3, [](const std::string& arm, double, int64_t, int) {
    return arm == "ssl" ? 400 : 600;
  });
  EXPECT_THAT(study.Run().verdict_sentence, ::testing::HasSubstr("random is better than ssl"));
}

TEST(Analysis, TooFewSeedsGiveNoVerdict) {
  const MadeStudy study(TwoArms(3), 4, [](const std::string& arm, double, int64_t, int) {
    return arm == "ssl" ? 900 : 100;
  });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.verdict, VerdictKind::kNoVerdict);
  EXPECT_THAT(analysis.verdict_sentence, ::testing::HasSubstr("3 seeds cannot reach p < .05"));
}

TEST(Analysis, SkippedArmGivesNoVerdict) {
  StudyOptions options = TwoArms(6);
  options.ssl = "";
  const MadeStudy study(options, 2, [](const std::string&, double, int64_t, int) { return 500; });
  const Analysis analysis = study.Run();
  EXPECT_EQ(analysis.verdict, VerdictKind::kNoVerdict);
  EXPECT_THAT(analysis.verdict_sentence, ::testing::HasSubstr("ssl, which was skipped"));
}

TEST(Analysis, SameAgainstSameIsRarelyShown) {
  // A/A: both arms draw from one distribution. The exact test lets through at most 2/64 of studies.
  int shown = 0;
  for (uint32_t study_index = 0; study_index < 1000; ++study_index) {
    const MadeStudy study(TwoArms(6), 8, [&](const std::string& arm, double, int64_t seed, int p) {
      core::PhiloxStream stream(study_index, core::DrawPurpose::kTest, static_cast<uint32_t>(seed),
                                static_cast<uint32_t>(p), arm == "ssl");
      core::PhiloxStream of_seed(study_index, core::DrawPurpose::kTest, static_cast<uint32_t>(seed),
                                 1000, arm == "ssl");
      return static_cast<int64_t>(600 + 40 * stream.Normal() + 40 * of_seed.Normal());
    });
    const Analysis analysis = study.Run();
    shown += analysis.verdict == VerdictKind::kShown;
    EXPECT_NE(analysis.verdict, VerdictKind::kNoVerdict);
  }
  std::printf("A/A: %d of 1000 studies show a difference\n", static_cast<int>(shown));
  EXPECT_LE(shown, 50);  // 5 %
}

TEST(Analysis, ExploratoryComparisonsAreHolmAdjusted) {
  StudyOptions options = TwoArms(6);
  options.arms = {"random", "ssl_partial", "ssl"};
  const MadeStudy study(options, 2, [](const std::string& arm, double, int64_t, int) {
    return arm == "random" ? 500 : arm == "ssl" ? 700 : 600;
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
  const MadeStudy study(TwoArms(6), 2, [](const std::string& arm, double, int64_t, int) {
    return arm == "ssl" ? 600 : 500;
  });
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
  // Header, then 2 arms x 2 fractions x 6 seeds x best and last x 2 patients x 2 classes.
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 2 * 2 * 6 * 2 * 2 * 2);
  EXPECT_THAT(core::ReadFile(temp / "summary.md"), ::testing::HasSubstr(analysis.verdict_sentence));
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
  WriteResult(temp / "result.json", result);
  const SegmentResult back = ReadResult(temp / "result.json");
  EXPECT_EQ(back.fingerprint, "abc");
  EXPECT_EQ(back.train_images, result.train_images);
  EXPECT_TRUE(std::isnan(back.curve[0].val_dice));
  EXPECT_EQ(back.test[0].counts.count(1, 0), 7);
  core::WriteFileAtomic(temp / "bad.json", "{\"format\": 1}");
  ExpectError([&] { ReadResult(temp / "bad.json"); }, ExitCode::kBadInput, "not a result");
}

class RunJobsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeMaskData(temp_ / "data", 4, 1, 16);
    core::WriteFileAtomic(temp_ / "ssl.pth", "weights");
    options_ = TwoArms(2);
    options_.ssl = (temp_ / "ssl.pth").string();
    options_.segment.data.data = (temp_ / "data").string();
    data_ = std::make_unique<MaskDataset>(options_.segment.data);
    plan_ = PlanStudy(options_, data_->ClassPixels(1), SplitByPatient(data_->items(), {}));
  }
  TrainFunction Trainer() {
    return [this](const SegmentOptions& options, const MaskDataset&, const ImageSplit& split,
                  const fs::path& folder, const StepHook&) {
      trained_.push_back(folder.filename().string());
      if (static_cast<int>(trained_.size()) == stop_at_) {
        core::WriteFileAtomic(folder / "half", "half a run");
        throw core::InterruptedError("stopped", "go on");
      }
      EXPECT_FALSE(fs::exists(folder / "half"));
      SegmentResult result;
      result.classes = options.data.classes;
      for (const int64_t i : split.test) {
        eval::ConfusionMatrix counts(2);
        counts.AddCount(1, 1, 3);
        result.test.push_back({data_->item(i).name, data_->item(i).patient, counts});
      }
      result.test_last = result.test;
      return result;
    };
  }
  std::vector<SegmentResult> Run() {
    trained_.clear();
    return RunJobs(options_, *data_, plan_, temp_ / "run", Trainer());
  }
  TempFolder temp_;
  StudyOptions options_;
  std::unique_ptr<MaskDataset> data_;
  StudyPlan plan_;
  std::vector<std::string> trained_;
  int stop_at_ = -1;
};

TEST_F(RunJobsTest, ResumesAfterAKill) {
  stop_at_ = 4;
  ExpectError([&] { Run(); }, ExitCode::kInterrupted, "stopped");
  EXPECT_EQ(trained_.size(), 4u);
  stop_at_ = -1;
  EXPECT_EQ(Run().size(), 8u);
  EXPECT_EQ(trained_.size(), 5u);  // the one that was cut, and the four after it
  EXPECT_EQ(trained_[0], plan_.jobs[3].name);
  Run();
  EXPECT_TRUE(trained_.empty());
}

TEST_F(RunJobsTest, OnlyTheMissingResultIsMadeAgain) {
  Run();
  std::map<std::string, fs::file_time_type> times;
  for (const Job& job : plan_.jobs) {
    times[job.name] = fs::last_write_time(temp_ / "run" / "runs" / job.name / "result.json");
  }
  fs::remove(temp_ / "run" / "runs" / plan_.jobs[5].name / "result.json");
  Run();
  EXPECT_THAT(trained_, ::testing::ElementsAre(plan_.jobs[5].name));
  for (size_t i = 0; i < plan_.jobs.size(); ++i) {
    if (i == 5) continue;
    const std::string& name = plan_.jobs[i].name;
    EXPECT_EQ(fs::last_write_time(temp_ / "run" / "runs" / name / "result.json"), times[name]);
  }
}

TEST_F(RunJobsTest, RefusesResultsOfOtherSettings) {
  Run();
  options_.segment.workers = 5;  // changes no result
  EXPECT_NO_THROW(Run());
  options_.segment.steps += 1;
  ExpectError([&] { Run(); }, ExitCode::kUsage, "other settings");
  options_.segment.steps -= 1;
  core::WriteFileAtomic(temp_ / "ssl.pth", "other weights");
  ExpectError([&] { Run(); }, ExitCode::kUsage, "other settings");
}

}  // namespace
}  // namespace eosin::segment
