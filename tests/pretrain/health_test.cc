// SPDX-License-Identifier: Apache-2.0
// The monitor against real training: faults that people build by accident are named within one
// epoch of 24 steps, and healthy recipes raise no alarm. EOSIN_SHOW=1 prints the rows of metrics.
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/files.h"
#include "core/base/log.h"
#include "engine/training/checkpoint.h"
#include "tests/pretrain/faults.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

using Assignments = std::vector<std::pair<std::string, std::string>>;
using Topics = std::set<std::string>;

const TextureSet& Set() {
  static const TextureSet set(768, 20);
  return set;
}

// A preset on a small network, 16 px and batches of 32.
PretrainOptions Small(const std::string& preset, const Assignments& changes) {
  RegisterFaults();
  Assignments all = {{"data.path", "made"},
                     {"data.size", "16"},
                     {"data.workers", "1"},
                     {"model.arch", "resnet18"},
                     {"model.stem", "cifar"},
                     {"model.width", "8"},
                     {"train.batch", "32"},
                     {"train.accumulate", "1"},
                     {"train.max_steps", "0"},
                     {"train.log_every", "2"},
                     {"compute.device", "cpu"},
                     {"compute.threads", "1"},
                     {"byol.hidden", "128"},
                     {"byol.out", "32"},
                     {"simclr.hidden", "64"},
                     {"simclr.out", "32"},
                     {"seed", "3"}};
  all.insert(all.end(), changes.begin(), changes.end());
  PretrainOptions options = ReadOptions(preset, "", all);
  // An image set must not touch the presets' own view size.
  options.view_a.size = options.view_b.size = options.size;
  return options;
}

// What the monitor said in the first epoch. "nan" when the run stopped at no number; without
// "starving", which is about the machine.
Topics FirstEpoch(const PretrainOptions& options) {
  testing::TempFolder temp;
  core::OptionSet set;
  PretrainOptions written = options;
  written.Bind(set);
  core::SetQuiet(true);
  engine::RunFolder run = engine::RunFolder::Create(temp / "run", "pretrain", set.ToToml());
  Monitor monitor(0);
  Topics topics;
  const int64_t steps = Set().size() / options.batch;
  try {
    const PretrainResult result =
        RunPretrain(options, Set(), run, false, [&](int64_t done) { return done == steps + 1; });
    for (const Finding& finding : result.findings) topics.insert(finding.topic);
  } catch (const core::InterruptedError&) {
    const auto state =
        nlohmann::json::parse(engine::LoadCheckpoint(temp / "run/checkpoints/last").state);
    monitor.FromJson(state.at("monitor").dump());
    for (const Finding& finding : monitor.findings()) topics.insert(finding.topic);
  } catch (const core::DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("stopped being a number"));
    topics.insert("nan");
  }
  if (std::getenv("EOSIN_SHOW")) {
    std::printf("%s\n", core::ReadFile(temp / "run/metrics.csv").c_str());
  }
  topics.erase("starving");
  return topics;
}

// The whole schedule, warm-up included, within one epoch.
const Assignments kOneEpoch = {{"train.epochs", "1"}, {"schedule.warmup_epochs", "0.2"}};

Topics Squeezed(const std::string& preset, Assignments changes) {
  changes.insert(changes.begin(), kOneEpoch.begin(), kOneEpoch.end());
  return FirstEpoch(Small(preset, changes));
}

bool Any(const Topics& found, const Topics& wanted) {
  for (const std::string& topic : wanted) {
    if (found.count(topic)) return true;
  }
  return false;
}

TEST(FaultTest, NoPredictor) {
  EXPECT_TRUE(Squeezed("byol-histology", {{"byol.predictor", "false"}}).count("collapse"));
}

TEST(FaultTest, NoStopGradient) {
  const Assignments rate = {{"optimizer.lr", "0.4"}};
  EXPECT_TRUE(Squeezed("simsiam-no-stop-start", rate).count("dimensional-collapse"));
  EXPECT_EQ(Squeezed("simsiam-start", rate), Topics()) << "with it all is well";
}

TEST(FaultTest, TargetThatCopies) {
  EXPECT_EQ(Squeezed("byol-histology", {{"byol.ema", "0"}}), Topics{"target"});
}

TEST(FaultTest, TemperatureTooLow) {
  EXPECT_TRUE(Squeezed("simclr-histology", {{"simclr.temperature", "0.005"}}).count("temperature"));
}

TEST(FaultTest, RateTimesHundred) {
  for (const char* preset : {"simclr-histology", "byol-histology", "simclr-lightly-cifar"}) {
    PretrainOptions options = Small(preset, kOneEpoch);
    options.optimizer.lr *= 100;
    EXPECT_TRUE(Any(FirstEpoch(options), {"rate", "divergence", "nan"})) << preset;
  }
}

TEST(FaultTest, EqualViews) {
  PretrainOptions options = Small("simclr-histology", kOneEpoch);
  options.view_a = options.view_b = engine::ViewRecipe::Preset("none");
  options.view_a.size = options.view_b.size = options.size;
  EXPECT_TRUE(FirstEpoch(options).count("views"));
}

TEST(FaultTest, NegativesNotGathered) {
  EXPECT_EQ(Squeezed("simclr-split-start", {}), Topics{"negatives"});
}

TEST(FaultTest, LeakThroughBatchNorm) {
  EXPECT_EQ(Squeezed("simclr-leak-start", {}), Topics{"leak"});
}

// Every preset as it is (its epochs and its warm-up), stopped after one epoch.
TEST(HealthyTest, NoPresetAlarmsInItsFirstEpoch) {
  for (const std::string& preset : PresetNames()) {
    if (preset.find("-start") != std::string::npos) continue;  // this test's own
    EXPECT_EQ(FirstEpoch(Small(preset, {})), Topics()) << preset;
  }
}

// The whole schedule in one epoch: rates rise to their peak within five steps. Left out are recipes
// for which that is a fault (they do lose their dimensions then): simclr-google and
// byol-solo-cifar, LARS at rates made for thousands of images or ten epochs of warm-up.
TEST(HealthyTest, NoRecipeAlarmsAtItsFullRate) {
  for (const char* preset : {"simclr-histology", "byol-histology", "simclr-lightly-cifar",
                             "byol-lightly-cifar", "simclr-google-cifar", "simclr-solo-cifar",
                             "byol-100", "stl10-baseline", "simsiam-start"}) {
    EXPECT_EQ(Squeezed(preset, {}), Topics()) << preset;
  }
  EXPECT_EQ(Squeezed("simclr-histology", {{"simclr.temperature", "0.1"}}), Topics());
  EXPECT_EQ(Squeezed("simclr-histology", {{"train.concat_views", "false"}}), Topics())
      << "BatchNorm sees each view alone";
}

}  // namespace
}  // namespace eosin::pretrain
