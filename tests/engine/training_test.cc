// SPDX-License-Identifier: Apache-2.0
// The pieces of a training loop: schedules, optimisers, autocast, input, run folder, checkpoints.
#include <sys/wait.h>
#include <torch/nn/functional/activation.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>
#include <unistd.h>
#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/lock.h"
#include "core/formats/csv.h"
#include "core/formats/tfevents.h"
#include "engine/training/checkpoint.h"
#include "engine/training/device.h"
#include "engine/training/input.h"
#include "engine/training/optimizer.h"
#include "engine/training/run_folder.h"
#include "engine/training/schedule.h"
#include "tests/testing.h"

namespace eosin::engine {
namespace {

using testing::ExpectError;
using testing::TempFolder;
constexpr auto kBad = core::ExitCode::kBadInput;

TEST(ScheduleTest, WarmsUpThenFallsByHand) {
  ScheduleOptions options;
  options.warmup_epochs = 1;  // 4 steps
  const LrSchedule schedule(options, 1.0, 4, 24);
  EXPECT_DOUBLE_EQ(schedule.At(0), 0.2);
  EXPECT_DOUBLE_EQ(schedule.At(3), 0.8);
  EXPECT_DOUBLE_EQ(schedule.At(4), 1.0);
  EXPECT_NEAR(schedule.At(14), 0.5, 1e-12);  // half of the remaining 20
  EXPECT_NEAR(schedule.At(24), 0.0, 1e-12);
  options.shape = "poly";
  options.power = 0.9;
  options.final_share = 0.1;
  EXPECT_NEAR(LrSchedule(options, 2.0, 4, 24).At(14), 2 * (0.1 + 0.9 * std::pow(0.5, 0.9)), 1e-12);
  options.shape = "constant";
  EXPECT_DOUBLE_EQ(LrSchedule(options, 2.0, 4, 24).At(23), 2.0);
  options.warmup_epochs = 100;  // capped at a fifth
  EXPECT_DOUBLE_EQ(LrSchedule(options, 1.0, 4, 20).At(4), 1.0);
  EXPECT_LT(LrSchedule(options, 1.0, 4, 20).At(3), 1.0);
}

TEST(ScheduleTest, ScalesByTheBatchAndRaisesTheMomentum) {
  EXPECT_DOUBLE_EQ(ScaledLr(0.3, "linear", 4096), 4.8);
  EXPECT_DOUBLE_EQ(ScaledLr(0.075, "sqrt", 4096), 4.8);
  EXPECT_DOUBLE_EQ(ScaledLr(0.3, "none", 4096), 0.3);
  EXPECT_DOUBLE_EQ(EmaMomentum(0.99, 0), 0.99);
  EXPECT_NEAR(EmaMomentum(0.99, 0.5), 0.995, 1e-12);
  EXPECT_DOUBLE_EQ(EmaMomentum(0.99, 1), 1.0);
}

// A weight matrix, a channels_last convolution kernel, a 1x1 kernel and a bias, with gradients.
struct Toy {
  std::vector<at::Tensor> params;
  std::vector<ParamGroup> groups;

  explicit Toy(bool exclude = true) {
    at::manual_seed(1);
    NamedParameters named;
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{4, 3}, {2, 3, 3, 3}, {4, 2, 1, 1}, {5}}) {
      at::Tensor value = torch::randn(shape, at::kDouble).to(at::kFloat);
      if (value.dim() == 4) value = value.contiguous(at::MemoryFormat::ChannelsLast);
      params.push_back(value.set_requires_grad(true));
      named.emplace_back("p" + std::to_string(named.size()), value);
    }
    groups = MakeParamGroups(named, exclude);
  }
  // Plainly contiguous, so that the layout differs from the parameter's.
  void SetGrads(int64_t step) {
    for (size_t i = 0; i < params.size(); ++i) {
      at::manual_seed(static_cast<uint64_t>(100 * step) + i);
      params[i].mutable_grad() = torch::randn(params[i].sizes());
    }
  }
};

double MaxDiff(const at::Tensor& a, const at::Tensor& b) {
  return (a.detach().to(at::kDouble) - b.detach().to(at::kDouble)).abs().max().item<double>();
}

TEST(OptimizerTest, SgdWithNesterovMatchesTheTextbook) {
  for (const bool nesterov : {false, true}) {
    Toy toy;
    ASSERT_EQ(toy.groups.size(), 2u);
    EXPECT_FALSE(toy.groups[1].decay);
    toy.groups[1].lr_scale = 0.5;
    OptimizerOptions options;
    options.nesterov = nesterov;
    options.weight_decay = 0.1;
    Optimizer optimizer(options, toy.groups);
    std::vector<at::Tensor> w, v;
    for (const at::Tensor& p : toy.params) {
      w.push_back(p.detach().to(at::kDouble).clone());
      v.push_back(at::zeros_like(w.back()));
    }
    for (int64_t step = 0; step < 3; ++step) {
      toy.SetGrads(step);
      optimizer.Step(0.2);
      for (size_t i = 0; i < w.size(); ++i) {
        const bool bias = i == 3;
        const at::Tensor g = toy.params[i].grad().to(at::kDouble) + (bias ? 0.0 : 0.1) * w[i];
        v[i] = 0.9 * v[i] + g;
        w[i] = w[i] - (bias ? 0.1 : 0.2) * (nesterov ? g + 0.9 * v[i] : v[i]);
        EXPECT_LT(MaxDiff(toy.params[i], w[i]), 1e-6) << "parameter " << i << " step " << step;
      }
    }
  }
}

TEST(OptimizerTest, AdamWMatchesTheTextbook) {
  Toy toy;
  OptimizerOptions options;
  options.name = "adamw";
  options.weight_decay = 0.05;
  Optimizer optimizer(options, toy.groups);
  std::vector<at::Tensor> w, m, s;
  for (const at::Tensor& p : toy.params) {
    w.push_back(p.detach().to(at::kDouble).clone());
    m.push_back(at::zeros_like(w.back()));
    s.push_back(at::zeros_like(w.back()));
  }
  for (int64_t step = 0; step < 4; ++step) {
    toy.SetGrads(step);
    optimizer.Step(0.01);
    for (size_t i = 0; i < w.size(); ++i) {
      const at::Tensor g = toy.params[i].grad().to(at::kDouble);
      const double t = static_cast<double>(step + 1);
      m[i] = 0.9 * m[i] + 0.1 * g;
      s[i] = 0.999 * s[i] + 0.001 * g * g;
      const at::Tensor m_hat = m[i] / (1 - std::pow(0.9, t)),
                       s_hat = s[i] / (1 - std::pow(0.999, t));
      w[i] = w[i] * (1 - 0.01 * (i == 3 ? 0.0 : 0.05)) - 0.01 * m_hat / (s_hat.sqrt() + 1e-8);
      EXPECT_LT(MaxDiff(toy.params[i], w[i]), 2e-6) << "parameter " << i << " step " << step;
    }
  }
}

TEST(OptimizerTest, LarsByHand) {
  // w = (3, 4), g = (0, 2), decay .5: g' = (1.5, 4), |w| = 5, |g'| = sqrt(18.25);
  // trust = .001 * 5 / 4.2720019 = 1.1704114e-3; lr 10: v = .011704114 * (1.5, 4).
  at::Tensor w = torch::tensor({{3.0f, 4.0f}}).set_requires_grad(true);
  OptimizerOptions options;
  options.name = "lars";
  options.weight_decay = 0.5;
  Optimizer optimizer(options, MakeParamGroups({{"w", w}}, true));
  w.mutable_grad() = torch::tensor({{0.0f, 2.0f}});
  optimizer.Step(10.0);
  EXPECT_NEAR(w[0][0].item<double>(), 3 - 0.017556171, 1e-6);
  EXPECT_NEAR(w[0][1].item<double>(), 4 - 0.046816456, 1e-6);
  EXPECT_EQ(w.grad()[0][1].item<float>(), 2.0f) << "the gradient is not touched";
}

// lars_optimizer.py of google-research/simclr in double precision, classic momentum: the learning
// rate is inside the buffer, so a change of rate does not rescale what the buffer holds.
TEST(OptimizerTest, LarsMatchesGooglesFormulaOverAChangingRate) {
  for (const bool nesterov : {false, true}) {
    Toy toy;
    OptimizerOptions options;
    options.name = "lars";
    options.nesterov = nesterov;
    options.weight_decay = 1e-2;
    Optimizer optimizer(options, toy.groups);
    std::vector<at::Tensor> w, v;
    for (const at::Tensor& p : toy.params) {
      w.push_back(p.detach().to(at::kDouble).clone());
      v.push_back(at::zeros_like(w.back()));
    }
    for (int64_t step = 0; step < 4; ++step) {
      toy.SetGrads(step);
      const double lr = 4.0 / static_cast<double>(step + 1);
      optimizer.Step(lr);
      for (size_t i = 0; i < w.size(); ++i) {
        at::Tensor g = toy.params[i].grad().to(at::kDouble);
        double trust = 1;
        if (i != 3) {
          g = g + 1e-2 * w[i];
          trust = 1e-3 * w[i].norm().item<double>() / g.norm().item<double>();
        }
        const at::Tensor scaled = lr * trust * g;
        v[i] = 0.9 * v[i] + scaled;
        w[i] = w[i] - (nesterov ? 0.9 * v[i] + scaled : v[i]);
        EXPECT_LT(MaxDiff(toy.params[i], w[i]), 5e-6) << "parameter " << i << " step " << step;
      }
    }
  }
}

TEST(OptimizerTest, LarsTrustIsOneWhereANormIsZero) {
  at::Tensor w = torch::zeros({1, 2}).set_requires_grad(true);
  OptimizerOptions options;
  options.name = "lars";
  Optimizer optimizer(options, MakeParamGroups({{"w", w}}, true));
  w.mutable_grad() = torch::ones({1, 2});
  optimizer.Step(0.5);
  EXPECT_FLOAT_EQ(w[0][0].item<float>(), -0.5f);
}

TEST(OptimizerTest, StateContinuesBitForBit) {
  for (const char* name : {"sgd", "adam", "adamw", "lars"}) {
    OptimizerOptions options;
    options.name = name;
    Toy whole, resumed;
    Optimizer a(options, whole.groups), b(options, resumed.groups);
    for (int64_t step = 0; step < 2; ++step) {
      whole.SetGrads(step);
      a.Step(0.1);
      resumed.SetGrads(step);
      b.Step(0.1);
    }
    Optimizer c(options, resumed.groups);
    c.LoadState(b.ToState());
    whole.SetGrads(2);
    a.Step(0.1);
    resumed.SetGrads(2);
    c.Step(0.1);
    for (size_t i = 0; i < whole.params.size(); ++i) {
      EXPECT_TRUE(at::equal(whole.params[i], resumed.params[i])) << name << " parameter " << i;
    }
    EXPECT_EQ(a.ToState().Hash(), c.ToState().Hash()) << name;
  }
  Toy toy;
  Optimizer optimizer({}, toy.groups);
  ExpectError([&] { optimizer.LoadState({}); }, kBad, "is missing");
}

TEST(OptimizerTest, LeavesParametersWithoutGradientAlone) {
  Toy toy;
  Optimizer optimizer({}, toy.groups);
  toy.SetGrads(0);
  toy.params[1].mutable_grad() = at::Tensor();
  const at::Tensor before = toy.params[1].detach().clone(), other = toy.params[0].detach().clone();
  EXPECT_NEAR(optimizer.GradNorm().item<double>(),
              std::sqrt(toy.params[0].grad().pow(2).sum().item<double>() +
                        toy.params[2].grad().pow(2).sum().item<double>() +
                        toy.params[3].grad().pow(2).sum().item<double>()),
              1e-4);
  optimizer.Step(0.1);
  EXPECT_TRUE(at::equal(before, toy.params[1]));
  EXPECT_FALSE(at::equal(other, toy.params[0]));
  optimizer.ZeroGrad();
  EXPECT_FALSE(toy.params[0].grad().defined());
}

TEST(DeviceTest, AutocastIsBf16InsideAndRestoredOutside) {
  const at::Tensor x = torch::randn({4, 4});
  {
    const AutocastGuard outer(c10::kCPU, true);
    EXPECT_EQ(at::matmul(x, x).scalar_type(), at::kBFloat16);
    {
      const AutocastGuard inner(c10::kCPU, false);
      EXPECT_EQ(at::matmul(x, x).scalar_type(), at::kFloat);
    }
    EXPECT_EQ(at::matmul(x, x).scalar_type(), at::kBFloat16);
  }
  EXPECT_EQ(at::matmul(x, x).scalar_type(), at::kFloat);
}

TEST(DeviceTest, ResolvesPrecisionAndRefusesAMissingGpu) {
  ComputeOptions options;
  options.device = "cpu";
  options.threads = 1;
  options.precision = "fp32";
  const Compute compute = ResolveCompute(options);
  EXPECT_EQ(compute.Describe(), "cpu, 1 thread, fp32");
  EXPECT_EQ(at::get_num_threads(), 1);
  options.precision = "auto";
  EXPECT_EQ(ResolveCompute(options).bf16, CpuHasBf16());
  if (at::globalContext().hasCUDA()) GTEST_SKIP() << "this machine has a GPU";
  ExpectError([] { ResolveDevice("cuda"); }, core::ExitCode::kMachine, "GPU");
}

TEST(InputTest, NormalisesIntoChannelsLast) {
  // Two images of 2 x 2; byte value = 10 * position + channel.
  std::vector<uint8_t> bytes(2 * 2 * 2 * 3);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(10 * (i / 3) + i % 3);
  const Normalization norm{{0.5f, 0.25f, 0.0f}, {0.5f, 0.25f, 1.0f}};
  const at::Tensor x = ToInput(bytes.data(), 2, 2, c10::Device(c10::kCPU), norm);
  ASSERT_EQ(x.sizes(), (std::vector<int64_t>{2, 3, 2, 2}));
  EXPECT_TRUE(x.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_NEAR(x[0][0][0][0].item<double>(), (0 / 255.0 - 0.5) / 0.5, 1e-6);
  EXPECT_NEAR(x[0][1][0][1].item<double>(), (11 / 255.0 - 0.25) / 0.25, 1e-6);
  EXPECT_NEAR(x[1][2][1][0].item<double>(), 62 / 255.0, 1e-6);
}

TEST(InputTest, NormalisationTravelsInMetadata) {
  const Normalization norm{{0.7f, 0.5f, 0.6f}, {0.1f, 0.2f, 0.3f}};
  std::map<std::string, std::string> metadata;
  EXPECT_FALSE(NormalizationOf(metadata).has_value());
  AddToMetadata(norm, &metadata);
  EXPECT_EQ(NormalizationOf(metadata), norm);
  metadata["eosin.std"] = "0.1,0,0.3";
  ExpectError([&] { NormalizationOf(metadata); }, kBad, "not above 0");
  metadata["eosin.std"] = "0.1,x";
  ExpectError([&] { NormalizationOf(metadata); }, kBad, "three numbers");
}

TEST(RunFolderTest, CreatesOpensAndProtectsRuns) {
  TempFolder temp;
  {
    RunFolder run = RunFolder::Create(temp / "run", "pretrain", "seed = 1\n");
    EXPECT_EQ(core::ReadFile(run.config()), "seed = 1\n");
    EXPECT_FALSE(run.finished());
    run.AddProvenance({{"device", "cpu"}});
    core::LogInfo("hello");
  }
  EXPECT_THAT(core::ReadFile(temp / "run/log.txt"), ::testing::HasSubstr("hello"));
  // Failed before its first checkpoint: started over.
  RunFolder::Create(temp / "run", "pretrain", "seed = 2\n");
  EXPECT_EQ(core::ReadFile(temp / "run/config.toml"), "seed = 2\n");
  ExpectError([&] { RunFolder::Create(temp / "run", "segment", ""); }, kBad,
              "pretrain run already");
  core::MakeFolder(temp / "run/checkpoints");
  ExpectError([&] { RunFolder::Create(temp / "run", "pretrain", ""); }, kBad,
              "pretrain run already");
  {
    RunFolder run = RunFolder::Open(temp / "run", "pretrain");
    run.AddProvenance({});
    run.MarkFinished();
  }
  EXPECT_TRUE(RunFolder::Open(temp / "run", "pretrain").finished());
  EXPECT_EQ(nlohmann::json::parse(core::ReadFile(temp / "run/provenance.json"))["processes"].size(),
            1u);
  ExpectError([&] { RunFolder::Open(temp / "run", "segment"); }, kBad, "not a segment run");
  ExpectError([&] { RunFolder::Open(temp / "none", "pretrain"); }, kBad, "no run in");
  // Killed while it was made.
  core::MakeFolder(temp / "young");
  std::ofstream(temp / "young/config.toml") << "seed = 1\n";
  EXPECT_EQ(RunFolder::Create(temp / "young", "pretrain", "seed = 3\n").path(), temp / "young");
  core::MakeFolder(temp / "foreign");
  std::ofstream(temp / "foreign/thesis.txt") << "x";
  ExpectError([&] { RunFolder::Create(temp / "foreign", "pretrain", ""); }, kBad, "not empty");
  EXPECT_FALSE(fs::exists(temp / "foreign/config.toml"));
}

TEST(RunFolderTest, OneProcessAtATime) {
  TempFolder temp;
  const fs::path path = temp / "run";
  {
    RunFolder run = RunFolder::Create(path, "segment", "seed = 1\n");
    ExpectError([&] { RunFolder::Open(path, "segment"); }, core::ExitCode::kMachine,
                "is being worked on by another process");
    ExpectError([&] { RunFolder::Create(path, "segment", "seed = 2\n"); }, core::ExitCode::kMachine,
                "is being worked on by another process");
    EXPECT_EQ(core::ReadFile(run.config()), "seed = 1\n");
    EXPECT_FALSE(RunFolder::IsFinished(path, "segment"));  // a reader waits for nobody
  }
  EXPECT_FALSE(fs::exists(path / "run.lock"));
  // A process that dies by a kill leaves the file and no lock.
  int held[2];
  ASSERT_EQ(pipe(held), 0);
  const pid_t child = fork();
  if (child == 0) {
    const RunFolder run = RunFolder::Open(path, "segment");
    if (write(held[1], "x", 1) == 1) pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(held[0], &byte, 1), 1);
  ExpectError([&] { RunFolder::Open(path, "segment"); }, core::ExitCode::kMachine, "is being");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(held[0]), close(held[1]);
  EXPECT_TRUE(fs::exists(path / "run.lock"));
  RunFolder::Open(path, "segment").MarkFinished();
  EXPECT_TRUE(RunFolder::IsFinished(path, "segment"));
  EXPECT_FALSE(RunFolder::IsFinished(path, "pretrain"));
  EXPECT_FALSE(RunFolder::IsFinished(temp / "none", "segment"));
  // Of a finished run there is nothing to lock, unless somebody wants to write to it.
  {
    RunFolder finished = RunFolder::Open(path, "segment");
    EXPECT_FALSE(fs::exists(path / "run.lock"));
    finished.Lock();
    EXPECT_FALSE(core::FileLock::Try(path / "run.lock"));
  }
  // Left in a folder that was killed while it was made, and in nobody's way.
  core::MakeFolder(temp / "young");
  std::ofstream(temp / "young/run.lock") << "";
  EXPECT_NO_THROW(RunFolder::Create(temp / "young", "segment", ""));
}

TEST(RunFolderTest, ARunWithAResultIsNeverStartedOver) {
  TempFolder temp;
  RunFolder::Create(temp / "run", "segment", "seed = 1\n");
  std::ofstream(temp / "run/result.json") << "{}";
  ExpectError([&] { RunFolder::Create(temp / "run", "segment", "seed = 2\n"); }, kBad,
              "segment run already");
  EXPECT_EQ(core::ReadFile(temp / "run/config.toml"), "seed = 1\n");
}

TEST(MetricsLogTest, ThreeFormatsAgreeAndAResumeRepeatsNothing) {
  TempFolder temp;
  {
    MetricsLog log(temp.path(), {"loss", "knn"}, -1);
    log.Write(1, {{"loss", 2.5}});
    log.Write(2, {{"loss", 2.25}, {"knn", 0.5}});
    log.Write(3, {{"loss", NAN}});
  }
  EXPECT_EQ(core::ReadFile(temp / "metrics.csv"), "step,loss,knn\n1,2.5,\n2,2.25,0.5\n3,nan,\n");
  EXPECT_EQ(core::ReadFile(temp / "metrics.jsonl"),
            "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":2.25,\"knn\":0.5}\n"
            "{\"step\":3,\"loss\":null}\n");
  // Killed in the middle of a row.
  std::ofstream(temp / "metrics.csv", std::ios::app) << "4,1.";
  std::ofstream(temp / "metrics.jsonl", std::ios::app) << "{\"step\":4,";
  {
    MetricsLog log(temp.path(), {"loss", "knn"}, 2);
    log.Write(3, {{"loss", 2.0}});
  }
  EXPECT_EQ(core::ReadFile(temp / "metrics.csv"), "step,loss,knn\n1,2.5,\n2,2.25,0.5\n3,2,\n");
  EXPECT_THAT(core::ReadFile(temp / "metrics.jsonl"),
              ::testing::EndsWith("{\"step\":3,\"loss\":2.0}\n"));
  const auto scalars = core::ReadTfScalars(temp / "events.out.tfevents.0.eosin");
  ASSERT_EQ(scalars.size(), 4u);
  EXPECT_EQ(scalars[2].tag, "knn");
  EXPECT_EQ(scalars[3].step, 3);
  EXPECT_EQ(scalars[3].value, 2.0f);
  ExpectError([&] { MetricsLog(temp.path(), {"other"}, 3); }, kBad, "other columns");
}

TEST(CheckpointTest, ReplacesAtomicallyAndRecovers) {
  TempFolder temp;
  const fs::path folder = temp / "last";
  EXPECT_FALSE(HasCheckpoint(folder));
  Checkpoint one;
  one.tensors["model"].Add("w", {2}, {1.0f, 2.0f});
  one.state = "{\"step\":1}";
  SaveCheckpoint(folder, one);
  Checkpoint two = one;
  two.tensors["optimizer"].Add("m", {1}, {3.0f});
  two.state = "{\"step\":2}";
  SaveCheckpoint(folder, two);
  const Checkpoint read = LoadCheckpoint(folder);
  EXPECT_EQ(read.state, two.state);
  EXPECT_EQ(read.tensors.at("model").Hash(), two.tensors.at("model").Hash());
  EXPECT_EQ(read.tensors.at("optimizer").tensors.size(), 1u);
  // Killed between the two renames of a replacement.
  fs::rename(folder, temp / "last.old");
  EXPECT_TRUE(HasCheckpoint(folder));
  EXPECT_EQ(LoadCheckpoint(folder).state, two.state);
  ExpectError([&] { LoadCheckpoint(temp / "none"); }, kBad, "no checkpoint");
}

}  // namespace
}  // namespace eosin::engine
