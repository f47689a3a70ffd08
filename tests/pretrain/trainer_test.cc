// SPDX-License-Identifier: Apache-2.0
// Whole runs on made textures: repeatability, interruption and resume, what a run leaves behind.
#include "pretrain/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/rand.h>
#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/files.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "engine/training/checkpoint.h"
#include "engine/training/input.h"
#include "pretrain/learner.h"
#include "pretrain/nan_capture.h"
#include "pretrain/standin.h"
#include "tests/pretrain/small_run.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

namespace fs = std::filesystem;
using engine::RunFolder;
using testing::ExpectError;
using testing::TempFolder;

class RunTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Methods, RunTest, ::testing::Values("simclr", "byol"),
                         [](const auto& info) { return info.param; });

TEST_P(RunTest, AnInterruptedRunEndsBitForBitLikeAnUninterruptedOne) {
  TempFolder temp;
  const Textures source;
  PretrainOptions options = Options(GetParam());  // 5 steps an epoch, 10 in all
  options.workers = 1;
  const PretrainResult expected = [&] {
    RunFolder whole = MakeRun(temp / "whole", options);
    return RunPretrain(options, source, whole, false);
  }();
  EXPECT_EQ(expected.steps, 10);
  ASSERT_TRUE(expected.knn.has_value());

  // Interrupted in the middle of an epoch, at the end of one, and again; other worker counts.
  options.workers = 3;
  {
    RunFolder run = MakeRun(temp / "parts", options);
    ExpectError([&] { RunPretrain(options, source, run, false, [](int64_t s) { return s == 3; }); },
                core::ExitCode::kInterrupted, "after step 3");
  }
  for (const int64_t stop : {5, 8}) {
    RunFolder run = RunFolder::Open(temp / "parts", "pretrain");
    ExpectError(
        [&] { RunPretrain(options, source, run, true, [=](int64_t s) { return s == stop; }); },
        core::ExitCode::kInterrupted, "after step");
    EXPECT_FALSE(run.finished());
  }
  {
    RunFolder run = RunFolder::Open(temp / "parts", "pretrain");
    const PretrainResult result = RunPretrain(options, source, run, true);
    EXPECT_EQ(result.steps, 10);
    EXPECT_EQ(result.loss, expected.loss);
    EXPECT_EQ(result.knn, expected.knn);
  }
  EXPECT_EQ(Hashes(temp / "parts"), Hashes(temp / "whole"));
  EXPECT_EQ(Hashes(temp / "whole").count("optimizer"), 1u);
  EXPECT_EQ(Metrics(temp / "parts"), Metrics(temp / "whole"));
  EXPECT_EQ(core::ReadFile(temp / "parts/encoder.safetensors"),
            core::ReadFile(temp / "whole/encoder.safetensors"));

  // A finished run is left as it is.
  const auto time = fs::last_write_time(temp / "parts/metrics.csv");
  RunFolder run = RunFolder::Open(temp / "parts", "pretrain");
  EXPECT_TRUE(RunPretrain(options, source, run, true).was_finished);
  EXPECT_EQ(fs::last_write_time(temp / "parts/metrics.csv"), time);
}

TEST(TrainerTest, LeavesWhatTheManualPromises) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  options.max_steps = 7;  // ends in the middle of the second epoch
  RunFolder run = MakeRun(temp / "run", options);
  EXPECT_EQ(RunPretrain(options, Textures(), run, false).steps, 7);
  EXPECT_TRUE(run.finished());
  for (const char* file :
       {"config.toml", "metrics.csv", "metrics.jsonl", "log.txt", "provenance.json", "report.html",
        "encoder.safetensors", "encoder.pth", "checkpoints/last/encoder.safetensors",
        "checkpoints/last/optimizer.safetensors", "checkpoints/best/encoder.safetensors"}) {
    EXPECT_TRUE(fs::exists(temp / "run" / file)) << file;
  }
  std::map<std::string, std::string> metadata;
  const core::StateDict encoder =
      core::ReadSafetensors(temp / "run/encoder.safetensors", &metadata);
  EXPECT_EQ(metadata["eosin.arch"], "resnet18");
  EXPECT_EQ(metadata["eosin.stem"], "cifar");
  EXPECT_EQ(engine::NormalizationOf(metadata), engine::Normalization());
  EXPECT_NE(encoder.Find("layer4.1.bn2.running_var"), nullptr);
  EXPECT_EQ(encoder.Find("fc.weight"), nullptr);
  EXPECT_EQ(core::ReadPth(temp / "run/encoder.pth").Hash(), encoder.Hash());
  EXPECT_THAT(core::ReadFile(temp / "run/provenance.json"), ::testing::HasSubstr("data_sha256"));
}

TEST(TrainerTest, SeedsMatterAndRepeat) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  options.max_steps = 3;
  options.knn_every = 0;
  std::vector<std::string> hashes;
  for (const int64_t seed : {1, 1, 2}) {
    options.seed_value = seed;
    const std::string name = "run" + std::to_string(hashes.size());
    RunFolder run = MakeRun(temp / name, options);
    RunPretrain(options, Textures(), run, false);
    hashes.push_back(Hashes(temp / name)["encoder"]);
  }
  EXPECT_EQ(hashes[0], hashes[1]);
  EXPECT_NE(hashes[0], hashes[2]);
}

TEST(TrainerTest, StopsAtALossThatIsNoNumberKeepsTheBatchAndReplaysIt) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  options.optimizer.lr = 1e30;
  options.schedule.warmup_epochs = 0;
  options.checkpoint_every = 1;
  RunFolder run = MakeRun(temp / "run", options);
  ExpectError([&] { RunPretrain(options, Textures(), run, false); }, core::ExitCode::kBadInput,
              "stopped being a number");
  EXPECT_FALSE(run.finished());
  EXPECT_FALSE(fs::exists(temp / "run/encoder.safetensors"));
  for (const auto& [part, dict] : engine::LoadCheckpoint(temp / "run/checkpoints/last").tensors) {
    for (const core::TensorBlob& tensor : dict.tensors) {
      for (const float value : core::ToFloats(tensor)) ASSERT_FALSE(std::isnan(value)) << part;
    }
  }

  const core::StateDict batch = core::ReadSafetensors(temp / "run/nan/batch.safetensors");
  ASSERT_NE(batch.Find("group0"), nullptr);
  EXPECT_EQ(batch.Find("group0")->shape, (std::vector<int64_t>{8, 3, 16, 16}));
  ASSERT_NE(batch.Find("indices"), nullptr);
  EXPECT_EQ(batch.Find("indices")->shape, (std::vector<int64_t>{4}));
  ASSERT_NE(batch.Find("records"), nullptr);
  EXPECT_EQ(batch.Find("records")->shape[0], 8) << "two views of four images";
  EXPECT_THAT(core::ReadFile(temp / "run/nan/state.json"), ::testing::HasSubstr("\"seed\": 11"));

  const NanReport replay = ReplayNan(options, temp / "run/nan");
  EXPECT_FALSE(replay.first.empty());
  EXPECT_THAT(replay.lines[0], ::testing::HasSubstr("inputs 0: all 6144 values finite"));
  EXPECT_EQ(ReplayNan(options, temp / "run/nan").lines, replay.lines) << "repeatable";
}

TEST(TrainerTest, ReplayFindsTheFirstPlace) {
  TempFolder temp;
  const PretrainOptions options = Options("simclr");
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  Learner learner = MakeLearner(options, compute);
  engine::ViewBatch batch;
  batch.indices = {0, 1, 2, 3};
  batch.labels = {0, 0, 0, 0};
  batch.groups = {at::rand({8, 3, 16, 16})};
  auto capture = [&] {
    const NanCapture kept(learner.method.get());
    AddGradient(*learner.method, batch.groups, compute, 1.0);
    kept.Write(temp / "nan", batch, {}, *learner.optimizer, {}, {.step = 3});
    return ReplayNan(options, temp / "nan").first;
  };
  EXPECT_EQ(capture(), "") << "a healthy step";
  {
    const at::NoGradGuard no_grad;
    for (auto& item : learner.method->encoder()->named_parameters()) {
      if (item.key() == "layer3.0.bn1.weight") item.value().fill_(INFINITY);
    }
  }
  EXPECT_EQ(capture(), "weights of encoder.layer3 before the step");
  {
    const at::NoGradGuard no_grad;
    for (auto& item : learner.method->encoder()->named_parameters()) {
      if (item.key() == "layer3.0.bn1.weight") item.value().fill_(3e38f);
    }
  }
  EXPECT_EQ(capture(), "output of encoder.layer3") << "finite weights that overflow";
  batch.groups[0][0][0][0][0] = NAN;
  EXPECT_EQ(capture(), "inputs 0");
}

TEST(TrainerTest, GradientsOfMicroBatchesAreAveraged) {
  const PretrainOptions options = Options("simclr");
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  Learner learner = MakeLearner(options, compute);
  const std::vector<at::Tensor> a = {at::rand({8, 3, 16, 16})}, b = {at::rand({8, 3, 16, 16})};
  auto gradient = [&](const std::vector<std::pair<std::vector<at::Tensor>, double>>& parts) {
    learner.optimizer->ZeroGrad();
    for (const auto& [groups, share] : parts) AddGradient(*learner.method, groups, compute, share);
    return learner.method->Trainable()[0].second.grad().clone();
  };
  const at::Tensor both = gradient({{a, 0.5}, {b, 0.5}});
  const at::Tensor mean = (gradient({{a, 1.0}}) + gradient({{b, 1.0}})) / 2;
  EXPECT_LT((both - mean).abs().max().item<double>(),
            1e-5 * mean.abs().max().item<double>() + 1e-9);
}

TEST_P(RunTest, AccumulatesAndTakesLocalCrops) {
  TempFolder temp;
  PretrainOptions options = Options(GetParam());
  options.accumulate = 2;  // 5 batches an epoch: 2 steps
  options.local_count = 2;
  options.view_local.size = 8;
  options.checkpoint_keep = 1;
  {
    RunFolder whole = MakeRun(temp / "whole", options);
    EXPECT_EQ(RunPretrain(options, Textures(), whole, false).steps, 4);
  }
  {
    RunFolder run = MakeRun(temp / "parts", options);
    ExpectError(
        [&] { RunPretrain(options, Textures(), run, false, [](int64_t s) { return s == 3; }); },
        core::ExitCode::kInterrupted, "after step 3");
  }
  RunFolder run = RunFolder::Open(temp / "parts", "pretrain");
  RunPretrain(options, Textures(), run, true);
  EXPECT_EQ(Hashes(temp / "parts"), Hashes(temp / "whole"));
  EXPECT_EQ(Metrics(temp / "parts"), Metrics(temp / "whole"));
  EXPECT_TRUE(fs::exists(temp / "whole/checkpoints/step-000004/optimizer.safetensors"));
}

// Texture 3 does not decode.
class OneDamaged : public Textures {
 public:
  core::Image Read(int64_t i) const override {
    if (i == 3) throw core::DataError("tile3 is damaged", "replace it");
    return Textures::Read(i);
  }
};

TEST(TrainerTest, ADamagedImageIsReplacedCountedAndReported) {
  TempFolder temp;
  const PretrainOptions options = Options("simclr");
  RunFolder run = MakeRun(temp / "run", options);
  const PretrainResult result = RunPretrain(options, OneDamaged(), run, false);
  EXPECT_EQ(result.bad_images, 2) << "once an epoch";
  ASSERT_TRUE(result.knn.has_value()) << "kNN goes on without it";
  EXPECT_THAT(core::ReadFile(temp / "run/log.txt"),
              ::testing::HasSubstr("1 images that do not decode were replaced"));
  EXPECT_THAT(core::ReadFile(temp / "run/report.html"), ::testing::HasSubstr("Damaged images"));
}

TEST(TrainerTest, ResumeRefusesOtherDataAndStartsWhereThereIsNoCheckpoint) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  options.max_steps = 2;
  options.knn_every = 0;
  {
    RunFolder run = MakeRun(temp / "run", options);
    ExpectError(
        [&] { RunPretrain(options, Textures(), run, false, [](int64_t s) { return s == 1; }); },
        core::ExitCode::kInterrupted, "after step 1");
  }
  const auto fewer = engine::FilterGroups(std::make_unique<Textures>(),
                                          [](const std::string& g) { return g != "slide0"; });
  RunFolder run = RunFolder::Open(temp / "run", "pretrain");
  ExpectError([&] { RunPretrain(options, *fewer, run, true); }, core::ExitCode::kBadInput,
              "not those that the run was started with");
  fs::remove_all(temp / "run/checkpoints");
  EXPECT_EQ(RunPretrain(options, Textures(), run, true).steps, 2);
}

TEST(TrainerTest, ABatchAboveTheDataIsAUsageError) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  options.batch = 21;
  RunFolder run = MakeRun(temp / "run", options);
  ExpectError([&] { RunPretrain(options, Textures(), run, false); }, core::ExitCode::kUsage,
              "batch");
}

TEST(StandInTest, TexturesAreRepeatableAndDiffer) {
  std::set<std::vector<uint8_t>> seen;
  for (int c = 0; c < kTextureClasses; ++c) {
    for (int64_t i = 0; i < 2; ++i) {
      const core::Image tile = MakeTexture(3, c, i, 16);
      EXPECT_EQ(tile.pixels, MakeTexture(3, c, i, 16).pixels);
      EXPECT_TRUE(seen.insert(tile.pixels).second) << c << ' ' << i;
      const auto [low, high] = std::minmax_element(tile.pixels.begin(), tile.pixels.end());
      EXPECT_GT(*high - *low, 40) << "a texture is no flat field: class " << c;
    }
  }
}

TEST(StandInTest, LearnsTexturesAndExportsTorchvisionKeys) {
  TempFolder temp;
  StandInOptions options;
  options.size = 48;
  options.batch = 16;
  options.steps = 60;
  options.compute.threads = 1;
  EXPECT_GT(TrainStandIn(options, temp / "long.pth"), 2.0 / kTextureClasses) << "twice the chance";
  options.steps = 3;
  const double accuracy = TrainStandIn(options, temp / "a.pth");
  EXPECT_EQ(TrainStandIn(options, temp / "b.pth"), accuracy);
  EXPECT_EQ(core::ReadFile(temp / "a.pth"), core::ReadFile(temp / "b.pth"));
  const core::StateDict dict = core::ReadPth(temp / "a.pth");
  ASSERT_NE(dict.Find("fc.weight"), nullptr);
  EXPECT_EQ(dict.Find("fc.weight")->shape, (std::vector<int64_t>{kTextureClasses, 512}));
  EXPECT_EQ(dict.tensors.size(), 122u) << "torchvision's resnet18 has as many";
}

}  // namespace
}  // namespace eosin::pretrain
