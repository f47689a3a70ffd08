// SPDX-License-Identifier: Apache-2.0
// What a resume must find again, and what it must not repeat: epochs, starting weights, precision,
// stain templates, damage; and a gradient that is found to be no number at a checkpoint.
#include <ATen/TensorOperators.h>
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/base/files.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "core/stain/stain_template.h"
#include "engine/training/input.h"
#include "engine/training/schedule.h"
#include "engine/weights/weights.h"
#include "pretrain/learner.h"
#include "pretrain/nan_capture.h"
#include "pretrain/run_state.h"
#include "tests/pretrain/small_run.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

using engine::RunFolder;
using testing::ExpectError;
using ::testing::HasSubstr;
using testing::TempFolder;

void Interrupt(const PretrainOptions& options, const engine::ImageSource& source, RunFolder run,
               bool resume, int64_t step) {
  ExpectError(
      [&] { RunPretrain(options, source, run, resume, [=](int64_t s) { return s == step; }); },
      core::ExitCode::kInterrupted, "after step " + std::to_string(step));
}

PretrainResult Resume(const PretrainOptions& options, const engine::ImageSource& source,
                      const fs::path& path) {
  RunFolder run = RunFolder::Open(path, "pretrain");
  return RunPretrain(options, source, run, true);
}

RunState LastState(const fs::path& run) {
  return ParseRunState(engine::LoadCheckpoint(run / "checkpoints/last").state, "last");
}

TEST(ResumeTest, AKillAfterAnEpochThatAnInterruptLeftOpenRepeatsNoRow) {
  TempFolder temp;
  const PretrainOptions options = Options("simclr");  // 5 steps an epoch, 10 in all
  {
    RunFolder whole = MakeRun(temp / "whole", options);
    RunPretrain(options, Textures(), whole, false);
  }
  Interrupt(options, Textures(), MakeRun(temp / "run", options), false, 5);
  EXPECT_TRUE(LastState(temp / "run").epoch_open);
  {
    RunFolder run = RunFolder::Open(temp / "run", "pretrain");
    const StepHook kill = [](int64_t s) -> bool {
      if (s == 6) throw std::runtime_error("killed");
      return false;
    };
    EXPECT_THROW(RunPretrain(options, Textures(), run, true, kill), std::runtime_error);
  }
  EXPECT_FALSE(LastState(temp / "run").epoch_open);
  Resume(options, Textures(), temp / "run");
  EXPECT_EQ(Metrics(temp / "run"), Metrics(temp / "whole"));
  EXPECT_EQ(Hashes(temp / "run"), Hashes(temp / "whole"));
}

TEST(ResumeTest, AnInterruptAtTheLastStepEndsWithAClosedNumberedCheckpoint) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  options.checkpoint_keep = 1;
  Interrupt(options, Textures(), MakeRun(temp / "run", options), false, 10);
  EXPECT_EQ(Resume(options, Textures(), temp / "run").steps, 10);
  EXPECT_FALSE(LastState(temp / "run").epoch_open);
  EXPECT_TRUE(fs::exists(temp / "run/checkpoints/step-000010/state.json"));
}

TEST(ResumeTest, StartingWeightsAreReadOnceAndKeepTheirNormalisation) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  const engine::Normalization own{{0.5f, 0.6f, 0.7f}, {0.25f, 0.2f, 0.3f}};
  std::map<std::string, std::string> metadata;
  engine::AddToMetadata(own, &metadata);
  const Learner learner = MakeLearner(options, engine::ResolveCompute(options.compute));
  EXPECT_EQ(learner.normalization, engine::Normalization());
  core::WriteSafetensors(temp / "init.safetensors", engine::ToStateDict(*learner.method->encoder()),
                         metadata);
  options.init = (temp / "init.safetensors").string();
  EXPECT_EQ(MakeLearner(options, engine::ResolveCompute(options.compute)).normalization, own);
  {
    RunFolder whole = MakeRun(temp / "whole", options);
    RunPretrain(options, Textures(), whole, false);
  }
  Interrupt(options, Textures(), MakeRun(temp / "run", options), false, 3);
  fs::remove(options.init);
  Resume(options, Textures(), temp / "run");
  EXPECT_EQ(Hashes(temp / "run"), Hashes(temp / "whole"));
  core::ReadSafetensors(temp / "run/encoder.safetensors", &metadata);
  EXPECT_EQ(engine::NormalizationOf(metadata), own);
  EXPECT_EQ(core::ReadFile(temp / "run/encoder.safetensors"),
            core::ReadFile(temp / "whole/encoder.safetensors"));

  // The same weights with ImageNet's normalisation learn something else.
  options.init.clear();
  RunFolder other = MakeRun(temp / "other", options);
  RunPretrain(options, Textures(), other, false);
  EXPECT_NE(Hashes(temp / "other")["encoder"], Hashes(temp / "whole")["encoder"]);
}

TEST(ResumeTest, AReplayReadsNoStartingWeights) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  const engine::Compute compute = engine::ResolveCompute(options.compute);
  const Learner learner = MakeLearner(options, compute);
  engine::ViewBatch batch;
  batch.groups = {at::ones({8, 3, 16, 16})};
  NanCapture(learner.method.get()).Write(temp / "nan", batch, {}, *learner.optimizer, {}, {});
  options.init = (temp / "gone.pth").string();
  EXPECT_EQ(ReplayNan(options, temp / "nan").first, "");
}

TEST(ResumeTest, AnotherPrecisionIsSaid) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  options.compute.precision = "fp32";
  Interrupt(options, Textures(), MakeRun(temp / "run", options), false, 3);
  EXPECT_FALSE(LastState(temp / "run").bf16);
  options.compute.precision = "bf16";  // as auto may come to elsewhere
  Resume(options, Textures(), temp / "run");
  EXPECT_THAT(core::ReadFile(temp / "run/log.txt"),
              HasSubstr("resumed in bf16, the run was in fp32"));
  EXPECT_TRUE(LastState(temp / "run").bf16);
}

TEST(ResumeTest, AChangedStainTemplateIsRefused) {
  TempFolder temp;
  const fs::path path = temp / "template.json";
  const core::StainTemplate stain = core::StainTemplate::PublishedCrc();
  stain.Write(path);
  const std::string before = core::ReadFile(path);
  PretrainOptions options = Options("simclr");
  options.knn_every = 0;
  options.view_b.stain = "randstainna";
  options.view_b.randstainna_template = path.string();
  Interrupt(options, Textures(), MakeRun(temp / "run", options), false, 3);
  EXPECT_EQ(LastState(temp / "run").stain_sha256.size(), 64u);
  core::WriteFileAtomic(path, before + "\n");
  ExpectError([&] { Resume(options, Textures(), temp / "run"); }, core::ExitCode::kUsage,
              "stain template");
  core::WriteFileAtomic(path, before);
  EXPECT_EQ(Resume(options, Textures(), temp / "run").steps, 10);
}

// Texture 3 does not decode: one sample of an epoch of 20.
class OneDamaged : public Textures {
 public:
  core::Image Read(int64_t i) const override {
    if (i == 3) throw core::DataError("tile3 is damaged", "replace it");
    return Textures::Read(i);
  }
};

TEST(ResumeTest, DamageOfEarlierProcessesCounts) {
  TempFolder temp;
  PretrainOptions options = Options("simclr");
  options.knn_every = 0;
  options.epochs = 12;
  Interrupt(options, OneDamaged(), MakeRun(temp / "run", options), false, 33);
  ExpectError([&] { Resume(options, OneDamaged(), temp / "run"); }, core::ExitCode::kBadInput,
              "11 of 2");  // the eleventh, in epoch 11, as in one process
}

// A method that keeps the progress it is told, and spoils its gradient after some steps.
struct Spoiled {
  std::vector<double> progress;
  std::vector<size_t> calls;  // of AfterStep, from 1
  bool Now() const { return std::find(calls.begin(), calls.end(), progress.size()) != calls.end(); }
};
Spoiled spoiled;

class Spoiler : public Method {
 public:
  explicit Spoiler(const MethodSetup& setup) : Method(setup.encoder) {
    parts_ = {{"encoder", encoder_.ptr()}};
  }
  StepOutput Forward(const std::vector<at::Tensor>& groups) override {
    const at::Tensor features = encoder_->forward(groups.at(0));
    const int64_t n = features.size(0) / 2;
    const at::Tensor apart = features.narrow(0, 0, n) - features.narrow(0, n, n);
    return {apart.square().mean(), features.detach()};
  }
  void AfterStep(double progress) override {
    spoiled.progress.push_back(progress);
    if (spoiled.Now()) Trainable()[0].second.mutable_grad().fill_(NAN);
  }
  double ChanceLoss(int64_t) const override { return 1; }
};

struct SpoilerOptions : CloneableOptions<SpoilerOptions> {
  void Bind(core::OptionSet&, const std::string&) override {}
  std::unique_ptr<Method> Make(const MethodSetup& setup) const override {
    return std::make_unique<Spoiler>(setup);
  }
};

const bool kRegistered =
    RegisterMethod({.name = "spoiler",
                    .summary = "for tests",
                    .make_options = [] { return std::make_unique<SpoilerOptions>(); },
                    .presets = {}});

PretrainOptions SpoilerRun() {
  PretrainOptions options = Options("simclr");
  options.method = "spoiler";
  options.knn_every = 0;
  options.checkpoint_every = 1;
  options.max_steps = 4;
  return options;
}

// On CUDA no step but these is looked at.
TEST(CheckFiniteTest, AGradientThatIsNoNumberIsNotSaved) {
  ASSERT_TRUE(kRegistered);
  const PretrainOptions options = SpoilerRun();
  TempFolder temp;
  spoiled = {};
  {
    RunFolder whole = MakeRun(temp / "whole", options);
    RunPretrain(options, Textures(), whole, false);
  }
  EXPECT_EQ(spoiled.progress, (std::vector<double>{0, 0.25, 0.5, 0.75}))
      << "steps done before, so that a target's first momentum is its base";
  for (const size_t call : {2, 4}) {  // in the middle, and at the end of the run
    spoiled = {.progress = {}, .calls = {call}};
    const fs::path path = temp / ("run" + std::to_string(call));
    RunFolder run = MakeRun(path, options);
    RunPretrain(options, Textures(), run, false);
    EXPECT_EQ(spoiled.progress.size(), 5u) << "one step again";
    EXPECT_THAT(core::ReadFile(path / "log.txt"), HasSubstr("going back to the last checkpoint"));
    EXPECT_EQ(Hashes(path), Hashes(temp / "whole"));
  }
}

TEST(CheckFiniteTest, OneThatComesBackEndsTheRun) {
  TempFolder temp;
  spoiled = {.progress = {}, .calls = {2, 3, 4, 5, 6}};
  const PretrainOptions options = SpoilerRun();
  RunFolder run = MakeRun(temp / "run", options);
  ExpectError([&] { RunPretrain(options, Textures(), run, false); }, core::ExitCode::kBadInput,
              "no number by step 2");
  EXPECT_EQ(LastState(temp / "run").step, 1) << "the last good one";
}

}  // namespace
}  // namespace eosin::pretrain
