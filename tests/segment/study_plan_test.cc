// SPDX-License-Identifier: Apache-2.0
// Options, arms and plan of a study.
#include <algorithm>
#include <map>
#include <set>

#include "segment/study/plan/plan.h"
#include "tests/segment/made_study.h"
#include "tests/testing.h"

namespace eosin::segment {
namespace {

using core::ExitCode;
using testing::ExpectError;
using testing::TwoArms;

TEST(StudyOptions, ParsePrimary) {
  const PrimaryComparison p = ParsePrimary("ssl_partial-random@0.1:iou");
  EXPECT_EQ(p.arm_a, "ssl_partial");
  EXPECT_EQ(p.arm_b, "random");
  EXPECT_EQ(p.level, (LabelLevel{0.1, 0}));
  EXPECT_EQ(p.metric, eval::Metric::kIou);
  EXPECT_EQ(ParsePrimary("ssl-random@n10:dice").level, (LabelLevel{0, 10}));
  for (const char* bad :
       {"", "ssl-random", "ssl@0.1:dice", "ssl-random@x:dice", "ssl-random@0.1",
        "ssl-random@n:dice", "ssl-random@n1.5:dice", "ssl-random@0.1:auc", "-random@0.1:dice"}) {
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
  check([](auto& o) { o.primary = "ssl-random@n5:dice"; }, "not in study.counts");
  check([](auto& o) { o.primary = "ssl-ssl@0.5:dice"; }, "with itself");
  check([](auto& o) { o.fractions = {1.0, 0.5}; }, "must rise");
  check([](auto& o) { o.counts = {2.5}; }, "no number of images");
  check([](auto& o) { o.tune = {0.01}; }, "nothing to choose");
  check(
      [](auto& o) {
        o.arms = {"ssl", "imagenet", "random_again"};
        o.primary = "ssl-imagenet@0.5:dice";
      },
      "random_again but not random");
  check(
      [](auto& o) {
        o.arms.push_back("random_again");
        o.primary = "random_again-random@0.5:dice";
      },
      "control");
  check([](auto& o) { o.reference = "imagenet"; }, "study.reference");
  check(
      [](auto& o) {
        o.folds = 3;
        o.split.file = "split.json";
      },
      "cannot be had together");
}

TEST(Arms, FilesWithOptions) {
  StudyOptions options = TwoArms(3);
  options.arms = {"random", "mine=a.pth", "cold=w/{fold}/b.pth;freeze=layer3;rate=0.5"};
  const auto arms = ResolveArms(options, 2);
  EXPECT_EQ(arms[1].init, "a.pth");
  EXPECT_EQ(arms[1].freeze, "none");
  EXPECT_EQ(arms[1].backbone_lr, 0.1);
  EXPECT_EQ(arms[2].init, "w/2/b.pth");
  EXPECT_EQ(arms[2].freeze, "layer3");
  EXPECT_EQ(arms[2].backbone_lr, 0.5);
  for (const char* bad : {"mine=", "a-b=x.pth", "ssl=x.pth", "m=x.pth;freeze=layer9",
                          "m=x.pth;rate=", "m=x.pth;rate=fast", "m=x.pth;speed=1"}) {
    options.arms = {"random", bad};
    ExpectError([&] { ResolveArms(options); }, ExitCode::kUsage, bad);
  }
}

TEST(Arms, KnownOnes) {
  StudyOptions options = TwoArms(3);
  options.arms = {"random", "imagenet", "ssl_partial", "ssl_frozen", "ssl_from_imagenet"};
  options.ssl = "enc{fold}.pth";
  const auto arms = ResolveArms(options, 1);
  EXPECT_EQ(arms[0].backbone_lr, 1.0);  // the multiplier is of weights from a file
  EXPECT_THAT(arms[1].skipped, ::testing::HasSubstr("weights.imagenet"));
  EXPECT_EQ(arms[2].freeze, "layer2");
  EXPECT_EQ(arms[2].init, "enc1.pth");
  EXPECT_EQ(arms[3].freeze, "all");
  EXPECT_THAT(arms[4].skipped, ::testing::HasSubstr("weights.ssl_from_imagenet"));
}

class PlanTest : public ::testing::Test {
 protected:
  // Twenty training images in each split.
  StudyPlan Plan(size_t folds = 1) const {
    const std::vector<std::vector<int64_t>> pixels(24, {5, 5});
    std::vector<ImageSplit> splits(folds);
    for (size_t k = 0; k < folds; ++k) {
      for (int64_t i = 0; i < 20; ++i) splits[k].train.push_back(i);
      splits[k].val = {20 + static_cast<int64_t>(k)};
      splits[k].test = {22 + static_cast<int64_t>(k)};
    }
    return PlanStudy(options_, pixels, splits);
  }
  static size_t Count(const StudyPlan& plan, JobRole role) {
    return static_cast<size_t>(std::count_if(plan.jobs.begin(), plan.jobs.end(),
                                             [&](const Job& job) { return job.role == role; }));
  }
  PlanTest() { options_.repeats = 0; }
  StudyOptions options_ = TwoArms(3);
};

TEST_F(PlanTest, FullyCrossedAndPaired) {
  options_.arms = {"random", "imagenet", "ssl", "mine=weights.pth"};
  const StudyPlan plan = Plan();
  EXPECT_EQ(plan.jobs.size(), 3u * 2 * 3);  // the skipped arm has none
  std::set<std::string> names;
  std::map<std::pair<std::string, int64_t>, std::vector<int64_t>> subsets;
  for (const Job& job : plan.jobs) {
    names.insert(job.name);
    const auto [place, is_new] = subsets.try_emplace({job.level.Name(), job.seed}, job.train);
    EXPECT_EQ(place->second, job.train) << "arms differ in their labels: " << job.name;
    EXPECT_EQ(job.steps, options_.segment.steps);
  }
  EXPECT_EQ(names.size(), plan.jobs.size());
  EXPECT_TRUE(names.contains("random-0.5-s0"));
}

// Three classes that one image each shows: no level has fewer than these three.
TEST_F(PlanTest, RealSizesOfEnlargedLevels) {
  std::vector<std::vector<int64_t>> pixels(24, {5, 0, 0, 0});
  pixels[3] = {5, 1, 0, 0};
  pixels[4] = {5, 0, 1, 0};
  pixels[5] = {5, 0, 0, 1};
  ImageSplit split;
  for (int64_t i = 0; i < 20; ++i) split.train.push_back(i);
  split.val = {20}, split.test = {22};
  options_.segment.data.classes = {"background", "a", "b", "c"};
  options_.fractions = {0.05, 0.5, 1.0};  // 1, 10, 20 images
  const StudyPlan plan = PlanStudy(options_, pixels, {split});
  EXPECT_EQ(LabelledImages(plan, plan.levels[0]), 3);
  EXPECT_EQ(LabelledImages(plan, plan.levels[1]), 10);
  for (const Job& job : plan.jobs) {
    if (job.level == plan.levels[0]) {
      EXPECT_EQ(job.train.size(), 3u);
    }
  }
  options_.fractions = {0.05, 0.15, 0.5, 1.0};  // both would be 3 images
  ExpectError([&] { PlanStudy(options_, pixels, {split}); }, ExitCode::kBadInput,
              "5 % of the labels and 15 % of the labels are both 3");
}

TEST_F(PlanTest, CountsLieInsideFractionsInOrderOfImages) {
  options_.fractions = {0.1, 1.0};
  options_.counts = {1, 5};
  options_.primary = "ssl-random@n5:dice";
  const StudyPlan plan = Plan();
  std::vector<std::string> names;
  for (const LabelLevel& level : plan.levels) names.push_back(level.Name());
  EXPECT_THAT(names, ::testing::ElementsAre("n1", "0.1", "n5", "1"));  // 1, 2, 5, 20 images
  std::vector<std::vector<int64_t>> subsets;
  for (const Job& job : plan.jobs) {
    if (job.seed == 1 && job.arm.name == "ssl") subsets.push_back(job.train);
  }
  ASSERT_EQ(subsets.size(), 4u);
  EXPECT_EQ(subsets[2].size(), 5u);
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_TRUE(std::equal(subsets[i - 1].begin(), subsets[i - 1].end(), subsets[i].begin()));
  }
  EXPECT_TRUE(std::any_of(plan.jobs.begin(), plan.jobs.end(),
                          [](const Job& job) { return job.name == "ssl-n5-s0"; }));
  options_.counts = {2};  // as many as 10 %
  options_.primary = "ssl-random@0.1:dice";
  ExpectError([&] { Plan(); }, ExitCode::kBadInput, "both 2 of 20");
  options_.counts = {21};
  ExpectError([&] { Plan(); }, ExitCode::kBadInput, "21 labelled images, but 20 train");
}

TEST_F(PlanTest, TuningIsAlikeForEveryArmAndReadsNoTestImage) {
  options_.tune = {1e-3, 1e-2, 1e-1};
  options_.arms = {"random", "ssl", "random_again"};
  const StudyPlan plan = Plan();
  EXPECT_EQ(Count(plan, JobRole::kTune), 2u * 3);  // not the control
  std::set<std::vector<int64_t>> labels;
  for (const Job& job : plan.jobs) {
    if (job.role != JobRole::kTune) continue;
    EXPECT_EQ(job.seed, 3);  // behind the last
    EXPECT_EQ(job.level, (LabelLevel{0.5, 0}));
    EXPECT_EQ(job.steps, options_.segment.steps);
    labels.insert(job.train);
  }
  EXPECT_EQ(labels.size(), 1u);
  EXPECT_EQ(plan.jobs.front().role, JobRole::kTune);
  EXPECT_EQ(plan.jobs.front().name, "tune-random-0.5-lr0.001");
}

TEST_F(PlanTest, ControlAndRepeatsStandAtThePrimaryLevel) {
  options_.repeats = 2;
  options_.arms.push_back("random_again");
  const StudyPlan plan = Plan();
  EXPECT_EQ(Count(plan, JobRole::kRepeat), 2u);
  for (const Job& job : plan.jobs) {
    if (job.arm.control()) {
      EXPECT_EQ(job.level, (LabelLevel{0.5, 0}));
    }
    if (job.role == JobRole::kRepeat) {
      EXPECT_EQ(job.arm.name, "ssl");
      EXPECT_EQ(job.seed, 0);
    }
  }
  EXPECT_EQ(Count(plan, JobRole::kMain), 3u * 2 * 2 + 3);
}

TEST_F(PlanTest, FoldsRepeatEverything) {
  options_.folds = 2;
  options_.tune = {1e-3, 1e-2};
  options_.ssl = "f{fold}.pth";
  const StudyPlan plan = Plan(2);
  EXPECT_EQ(Count(plan, JobRole::kMain), 2u * 2 * 2 * 3);
  EXPECT_EQ(Count(plan, JobRole::kTune), 2u * 2 * 2);
  for (const Job& job : plan.jobs) {
    EXPECT_EQ(job.name.substr(0, 3), "f" + std::to_string(job.fold) + "-");
    if (job.arm.name == "ssl") {
      EXPECT_EQ(job.arm.init, "f" + std::to_string(job.fold) + ".pth");
    }
  }
}

TEST_F(PlanTest, StepsByLabelsAreAlikeInEveryArm) {
  options_.steps = "by_labels";
  options_.segment.steps = 1000;
  options_.min_steps = 300;
  options_.fractions = {0.1, 0.5, 1.0};
  std::map<std::string, std::set<int64_t>> steps;
  for (const Job& job : Plan().jobs) steps[job.level.Name()].insert(job.steps);
  EXPECT_EQ(steps["0.1"], std::set<int64_t>{300});
  EXPECT_EQ(steps["0.5"], std::set<int64_t>{500});
  EXPECT_EQ(steps["1"], std::set<int64_t>{1000});
}

}  // namespace
}  // namespace eosin::segment
