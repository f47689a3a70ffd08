// SPDX-License-Identifier: Apache-2.0
// The board of jobs and its resumable, shared runner, with a made trainer instead of a network.
#include <cmath>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core/base/files.h"
#include "segment/study/run/run.h"
#include "tests/segment/made_data.h"
#include "tests/segment/made_study.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using testing::ExpectError;
using testing::TempFolder;
using testing::TwoArms;

class RunJobsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeMaskData(temp_ / "data", 6, 1, 16);
    core::WriteFileAtomic(temp_ / "ssl.pth", "weights");
    options_ = TwoArms(2);
    options_.repeats = 0;
    options_.ssl = (temp_ / "ssl.pth").string();
    options_.segment.data.data = (temp_ / "data").string();
    data_ = std::make_unique<MaskDataset>(options_.segment.data);
    Replan();
  }
  void Replan() {
    plan_ = PlanStudy(options_, data_->ClassPixels(1), {SplitByPatient(data_->items(), {})});
  }
  TrainFunction Trainer() {
    return [this](const SegmentOptions& options, const MaskDataset&, const ImageSplit& split,
                  const fs::path& folder, const StepHook& hook) {
      {
        std::lock_guard lock(mutex_);
        trained_.push_back(folder.filename().string());
        rates_[folder.filename().string()] = options.optimizer.lr;
        seeds_[folder.filename().string()] = options.seed;
        if (static_cast<int>(trained_.size()) == stop_at_) {
          core::WriteFileAtomic(folder / "half", "half a run");
          throw core::InterruptedError("stopped", "go on");
        }
      }
      EXPECT_FALSE(fs::exists(folder / "half"));
      hook(1, 0.5);
      SegmentResult result;
      result.classes = options.data.classes;
      // Random likes a high rate, everything else a low one.
      const double best = options.init == "random" ? 0.1 : 0.001;
      result.curve = {{1, 0.5, options.optimizer.lr,
                       1 - std::fabs(std::log10(options.optimizer.lr / best)) / 10, 0.5}};
      for (const int64_t i : split.test) {
        eval::ConfusionMatrix counts(2);
        counts.AddCount(1, 1, 3);
        result.test.push_back({data_->item(i).name, data_->item(i).patient, counts});
      }
      result.test_last = result.test;
      return result;
    };
  }
  Results Run() {
    trained_.clear();
    JobBoard board(options_, *data_, plan_, temp_ / "run");
    RunJobs(board, plan_, *data_, Trainer(), {.on_change = {}, .quiet = true});
    EXPECT_TRUE(board.complete());
    tuned_ = board.Tuned();
    return board.results();
  }
  TempFolder temp_;
  StudyOptions options_;
  std::unique_ptr<MaskDataset> data_;
  StudyPlan plan_;
  std::mutex mutex_;
  std::vector<std::string> trained_;
  std::map<std::string, double> rates_;
  std::map<std::string, int64_t> seeds_;
  std::vector<TunedRate> tuned_;
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
  fs::remove(temp_ / "run" / "runs" / plan_.jobs[5].name / "result.json");
  Run();
  EXPECT_THAT(trained_, ::testing::ElementsAre(plan_.jobs[5].name));
}

TEST_F(RunJobsTest, RefusesResultsOfOtherSettings) {
  Run();
  options_.segment.workers = 5;  // changes no result
  EXPECT_NO_THROW(Run());
  options_.segment.loss.dice += 1;
  ExpectError([&] { Run(); }, ExitCode::kUsage, "other settings");
  options_.segment.loss.dice -= 1;
  core::WriteFileAtomic(temp_ / "ssl.pth", "other weights");
  ExpectError([&] { Run(); }, ExitCode::kUsage, "other settings");
}

TEST_F(RunJobsTest, DamagedBookkeepingIsSaid) {
  Run();
  core::WriteFileAtomic(temp_ / "run" / "runs" / plan_.jobs[2].name / "result.json", "{\"for");
  ExpectError([&] { Run(); }, ExitCode::kBadInput, "is not a result");
}

TEST_F(RunJobsTest, ArmsOfOneSeedDifferInTheStartOnly) {
  options_.arms.push_back("random_again");
  Replan();
  const JobBoard board(options_, *data_, plan_, temp_ / "run");
  auto toml = [&](const std::string& name) {
    for (const Job& job : plan_.jobs) {
      if (job.name != name) continue;
      SegmentOptions options = board.OptionsOf(job);
      options.init = options.freeze = "";
      options.backbone_lr = 0;
      core::OptionSet set;
      options.Bind(set);
      return set.ToToml();
    }
    ADD_FAILURE() << "no job " << name;
    return std::string();
  };
  EXPECT_EQ(toml("random-0.5-s1"), toml("ssl-0.5-s1"));
  EXPECT_NE(toml("random-0.5-s0"), toml("random-0.5-s1"));
  EXPECT_NE(toml("random-0.5-s1"), toml("random_again-0.5-s1"));  // other heads
}

TEST_F(RunJobsTest, EveryArmTakesItsOwnBestRate) {
  options_.tune = {0.001, 0.01, 0.1};
  options_.arms.push_back("random_again");
  Replan();
  Run();
  ASSERT_EQ(tuned_.size(), 2u);
  EXPECT_EQ(tuned_[0].chosen, 0.1);
  EXPECT_EQ(tuned_[1].chosen, 0.001);
  EXPECT_EQ(rates_["random-1-s1"], 0.1);
  EXPECT_EQ(rates_["random_again-0.5-s1"], 0.1);
  EXPECT_EQ(rates_["ssl-0.5-s0"], 0.001);
  EXPECT_EQ(seeds_["tune-ssl-0.5-lr0.01"], 2);
  const auto results = ReadResult(temp_ / "run" / "runs" / "tune-ssl-0.5-lr0.01" / "result.json");
  EXPECT_TRUE(results.test.empty());
}

TEST_F(RunJobsTest, SeveralRunnersShareTheJobsOnceEach) {
  options_.tune = {0.001, 0.01, 0.1};
  options_.seeds = 6;
  Replan();
  std::vector<std::jthread> runners;
  for (int k = 0; k < 4; ++k) {
    runners.emplace_back([&] {
      JobBoard board(options_, *data_, plan_, temp_ / "run");
      RunJobs(board, plan_, *data_, Trainer(), {.on_change = {}, .quiet = true});
      EXPECT_TRUE(board.complete());
    });
  }
  runners.clear();
  EXPECT_EQ(trained_.size(), plan_.jobs.size());
  EXPECT_EQ(std::set<std::string>(trained_.begin(), trained_.end()).size(), plan_.jobs.size());
}

TEST_F(RunJobsTest, EveryFinishedModelIsTold) {
  JobBoard board(options_, *data_, plan_, temp_ / "run");
  std::vector<size_t> told;
  RunJobs(
      board, plan_, *data_, Trainer(),
      {.on_change = [&](const JobBoard& now) { told.push_back(now.done_count()); }, .quiet = true});
  EXPECT_THAT(told, ::testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

}  // namespace
}  // namespace eosin::segment
