// SPDX-License-Identifier: Apache-2.0
#include "eval/probe/few_shot.h"

#include <ATen/Parallel.h>
#include <torch/types.h>
#include <set>

#include "eval/encoder.h"
#include "eval/probe/finetune.h"
#include "eval/study/split.h"
#include "tests/eval/made_images.h"
#include "tests/testing.h"

namespace eosin::eval {
namespace {

TEST(FewShotTest, ShotsComeFromManyGroupsAndNest) {
  // Class 0: group a has 5 images, b and c one each; class 1: all in d.
  std::vector<int64_t> labels = {0, 0, 0, 0, 0, 0, 0, 1, 1, 1};
  const std::vector<std::string> groups = {"a", "a", "a", "a", "a", "b", "c", "d", "d", "d"};
  std::set<std::vector<int64_t>> draws;
  for (int64_t draw = 0; draw < 20; ++draw) {
    const auto three = DrawShots(labels, groups, 2, 3, 7, draw);
    ASSERT_EQ(three.size(), 6u);
    std::set<std::string> used;
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(labels[static_cast<size_t>(three[i])], 0);
      used.insert(groups[static_cast<size_t>(three[i])]);
    }
    EXPECT_EQ(used.size(), 3u) << "one of each group before a second of any";
    EXPECT_EQ(std::set<int64_t>(three.begin(), three.end()).size(), 6u);
    const auto one = DrawShots(labels, groups, 2, 1, 7, draw);
    EXPECT_EQ(one[0], three[0]);
    EXPECT_EQ(one[1], three[3]);
    EXPECT_EQ(three, DrawShots(labels, groups, 2, 3, 7, draw));
    draws.insert(three);
  }
  EXPECT_GT(draws.size(), 5u);
  testing::ExpectError([&] { DrawShots(labels, groups, 2, 4, 7, 0); }, core::ExitCode::kBadInput,
                       "4 shots");
}

TEST(FewShotTest, NearestCentroidByHand) {
  // Class means of unit vectors: (1, 0) and (0, 1); lengths do not count.
  const at::Tensor features = torch::tensor({{9.0f, 0.0f}, {0.0f, 0.1f}});
  const at::Tensor labels = torch::tensor({int64_t{0}, int64_t{1}});
  const at::Tensor queries = torch::tensor({{0.2f, 0.1f}, {3.0f, 4.0f}});
  EXPECT_TRUE(at::equal(NearestCentroid(features, labels, 2, queries),
                        torch::tensor({int64_t{0}, int64_t{1}})));
}

TEST(FewShotTest, EveryDrawPartsDistantClouds) {
  at::manual_seed(1);
  const int64_t n = 60;
  const at::Tensor y = torch::arange(n) % 3;
  const at::Tensor centres = 10 * torch::eye(3);
  const at::Tensor x = torch::randn({n, 3}) * 0.3 + centres.index_select(0, y);
  std::vector<int64_t> labels(y.data_ptr<int64_t>(), y.data_ptr<int64_t>() + n);
  std::vector<std::string> groups;
  for (int64_t i = 0; i < n; ++i) groups.push_back("g" + std::to_string(i / 6));
  const FewShotResult result = FewShot(x, labels, groups, x, 3, {.shots = 2, .draws = 5});
  ASSERT_EQ(result.nearest.size(), 5u);
  ASSERT_EQ(result.logistic.size(), 5u);
  for (size_t d = 0; d < 5; ++d) {
    EXPECT_TRUE(at::equal(result.nearest[d], y));
    EXPECT_TRUE(at::equal(result.logistic[d], y));
  }
}

TEST(FinetuneTest, CurvesByHand) {
  const std::vector<double> accuracy = {0.2, 0.5, 0.45, 0.8};
  EXPECT_EQ(EpochsToReach(accuracy, 0.5), 2);
  EXPECT_EQ(EpochsToReach(accuracy, 0.81), 0);
  EXPECT_DOUBLE_EQ(CurveArea(accuracy), 1.95 / 4);
}

TEST(FinetuneTest, LearnsAndLeavesTheEncoderAlone) {
  at::set_num_threads(1);
  const testing::TempFolder folder;
  testing::MakeImages(folder.path(), 12, 2);
  const Split split = MakeSplit(folder.path(), "", {.val_share = 0, .test_share = 0.25});
  Encoder encoder;
  encoder.name = "tiny";
  encoder.net = testing::TinyNet(3);
  const std::string before = Fingerprint(*encoder.net);
  const FinetuneOptions options{.epochs = 6, .batch = 8, .lr = 1.0, .crop_min = 0.7};
  auto run = [&](int workers) {
    return Finetune(encoder, split.train, split.test, 2, 16, workers, 1, options,
                    engine::Compute());
  };
  const FinetuneResult result = run(1);
  ASSERT_EQ(result.test_accuracy.size(), 6u);
  ASSERT_EQ(result.predicted.size(), static_cast<size_t>(split.test.size()));
  EXPECT_LT(result.train_loss.back(), 0.7 * result.train_loss.front());
  EXPECT_GT(result.test_accuracy.back(), 0.8);
  int64_t right = 0;
  for (size_t i = 0; i < result.predicted.size(); ++i) {
    right += result.predicted[i] == split.test.labels[i];
  }
  EXPECT_DOUBLE_EQ(result.test_accuracy.back(),
                   static_cast<double>(right) / static_cast<double>(split.test.size()));
  EXPECT_EQ(Fingerprint(*encoder.net), before);
  EXPECT_EQ(run(3).train_loss, result.train_loss) << "any number of workers";
}

}  // namespace
}  // namespace eosin::eval
