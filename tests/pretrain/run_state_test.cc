// SPDX-License-Identifier: Apache-2.0
// Pieces of the training run: memory, the search for a batch that fits, monitor, checkpoints.
#include "pretrain/run_state.h"

#include <cmath>
#include <set>

#include "core/base/files.h"
#include "pretrain/learner.h"
#include "pretrain/memory.h"
#include "pretrain/monitor.h"
#include "pretrain/signals.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

using testing::ExpectError;

PretrainOptions SmallOptions() {
  return ReadOptions("", "",
                     {{"data.path", "made"},
                      {"method", "simclr"},
                      {"data.size", "32"},
                      {"model.arch", "resnet18"},
                      {"model.width", "8"},
                      {"train.batch", "4"},
                      {"compute.device", "cpu"},
                      {"compute.precision", "fp32"},
                      {"compute.threads", "1"}});
}

TEST(MemoryTest, CountsWhatAResnet18Keeps) {
  const PretrainOptions options = SmallOptions();
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  const Learner learner = MakeLearner(options, compute);
  const MemoryEstimate memory = EstimateMemory(options, *learner.method, compute);
  // By hand, elements a view at 32 px with the 3x3 stem and 8 channels: input 3 x 32^2, stem
  // 2 x 8 x 32^2; layer1 four convolutions of 8 x 32^2, each twice; layer2 four of 16 x 16^2
  // twice and the shortcut once, and so on.
  const int64_t views = 8, bytes = 4;
  ASSERT_EQ(memory.activations.size(), 5u);
  EXPECT_EQ(memory.activations[0].first, "stem");
  EXPECT_EQ(memory.activations[0].second, (3 * 1024 + 2 * 8 * 1024) * views * bytes);
  EXPECT_EQ(memory.activations[1].second, 8 * 8 * 1024 * views * bytes);
  EXPECT_EQ(memory.activations[2].second, 9 * 16 * 256 * views * bytes);
  EXPECT_EQ(memory.activations[4].second, 9 * 64 * 16 * views * bytes);
  EXPECT_EQ(memory.work, 2 * 8 * 1024 * views * bytes);
  EXPECT_EQ(memory.loader, 3 * 4 * 2 * 32 * 32 * 3);
  EXPECT_EQ(memory.optimizer, memory.gradients) << "momentum";
  EXPECT_GT(memory.weights, memory.gradients) << "running statistics";
  EXPECT_GT(memory.available, 1'000'000) << "this machine has some memory";
  EXPECT_THAT(memory.Describe(), ::testing::HasSubstr("layer4"));
}

TEST(MemoryTest, ABatchFarTooLargeIsRefusedWithTheLargestThatFits) {
  MemoryEstimate memory;
  memory.weights = 100;
  memory.activations = {{"stem", 8000}};  // 80 an image
  memory.available = 4100;
  ExpectError([&] { RequireMemory(memory, 100); }, core::ExitCode::kMachine,
              "the largest that fits is 50");
  memory.available = 150;
  ExpectError([&] { RequireMemory(memory, 100); }, core::ExitCode::kMachine, "no batch does");
  memory.available = 8100;
  EXPECT_NO_THROW(RequireMemory(memory, 100));
  memory.available = 0;  // unknown
  EXPECT_NO_THROW(RequireMemory(memory, 100));
  memory.available = 10;
  memory.on_gpu = true;  // decided by trying
  EXPECT_NO_THROW(RequireMemory(memory, 100));
}

TEST(MemoryTest, BisectionFindsTheLargestBatch) {
  for (const int64_t limit : {2, 3, 7, 100, 383, 384, 511}) {
    int64_t calls = 0, most = 0;
    const int64_t found = LargestBatch(2, 512, [&](int64_t batch) {
      ++calls;
      most = std::max(most, batch);
      return batch <= limit;
    });
    EXPECT_LE(found, limit);
    EXPECT_GE(found, limit - std::max<int64_t>(1, limit / 32)) << limit;
    EXPECT_LE(calls, 18);
    EXPECT_LT(most, 512) << "what failed is not tried again";
  }
  EXPECT_EQ(LargestBatch(2, 512, [](int64_t) { return false; }), 0);
}

TEST(MonitorTest, ContrastiveLevelsAreThoseOfTheReference) {
  EXPECT_NEAR(LevelsOf(256, 0.5, 1).chance, 6.236, 1e-3);
  EXPECT_NEAR(LevelsOf(4096, 0.5, 1).chance, 9.011, 1e-3);
  EXPECT_NEAR(LevelsOf(512, 0.5, 1).orthogonal, 4.937, 1e-3);
  EXPECT_NEAR(LevelsOf(512, 0.1, 1).orthogonal, 0.045, 1e-3);
  EXPECT_NEAR(LevelsOf(4096, 0.1, 1).orthogonal, 0.316, 1e-3);
  EXPECT_NEAR(LevelsOf(256, 0.5, 2).chance, 2 * 6.236, 2e-3);
  EXPECT_EQ(LevelsOf(256, 1e-4, 1).orthogonal, 0) << "no overflow";
}

TEST(MonitorTest, RemembersThroughACheckpoint) {
  Monitor whole(5.0), first(5.0);
  const MonitorSample bad{.step = 10, .progress = 0.5, .loss = 4.9, .feature_spread = 0.01};
  for (Monitor* monitor : {&whole, &first}) {
    monitor->Look(bad);
    monitor->Look(bad);
  }
  Monitor second(5.0);
  second.FromJson(first.ToJson());
  EXPECT_EQ(second.ToJson(), first.ToJson());
  EXPECT_EQ(second.Look(bad), whole.Look(bad)) << "the third in a row";
  ASSERT_EQ(second.findings().size(), 1u);
  EXPECT_EQ(second.findings()[0].step, 10);
  Monitor third(5.0);
  third.FromJson(second.ToJson());
  EXPECT_TRUE(third.Look(bad).empty()) << "said before";
  third.FromJson("nonsense");
  EXPECT_EQ(third.findings().size(), 1u);
}

TEST(RunStateTest, GoesThroughJson) {
  RunState state{.step = 12, .epoch_open = true, .loss_sum = 1.0 / 3, .loss_count = 4};
  state.bad_epoch = 2;
  state.monitor = Monitor(1.0).ToJson();
  state.device = "cpu";
  state.bf16 = state.tf32 = true;
  state.stain_sha256 = "ab";
  const RunState back = ParseRunState(state.ToJson(), "here");
  EXPECT_EQ(back.ToJson(), state.ToJson());
  EXPECT_EQ(back.loss_sum, state.loss_sum) << "to the last bit";
  ExpectError([] { ParseRunState("{\"step\": 3}", "runs/a/checkpoints/last"); },
              core::ExitCode::kBadInput, "runs/a/checkpoints/last");
}

TEST(RunCheckpointsTest, KeepsTheNewestNumberedOnes) {
  testing::TempFolder temp;
  const RunCheckpoints checkpoints(temp.path(), 2);
  core::MakeFolder(temp / "checkpoints/step-000001.part");  // of a kill
  for (const int64_t step : {2, 10, 100}) {
    checkpoints.Save({.tensors = {}, .metadata = {}, .state = "{}"}, step, true);
  }
  checkpoints.Save({.tensors = {}, .metadata = {}, .state = "{}"}, 101, false);
  EXPECT_TRUE(checkpoints.HasLast());
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(temp / "checkpoints")) {
    names.insert(entry.path().filename().string());
  }
  EXPECT_EQ(names, (std::set<std::string>{"last", "step-000010", "step-000100"}));
}

TEST(SignalsTest, GradientsAreNamedByPartAndStage) {
  EXPECT_EQ(StageOf("encoder.layer2.0.conv1.weight"), "encoder.layer2");
  EXPECT_EQ(StageOf("encoder.bn1.bias"), "encoder.stem");
  EXPECT_EQ(StageOf("projector.0.weight"), "projector");
}

}  // namespace
}  // namespace eosin::pretrain
