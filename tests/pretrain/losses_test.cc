// SPDX-License-Identifier: Apache-2.0
// Losses and methods: published vectors first, then against plain formulas, then BYOL's target.
#include "pretrain/losses.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/types.h>
#include <cmath>

#include "engine/models/init.h"
#include "engine/training/device.h"
#include "engine/training/schedule.h"
#include "engine/weights/weights.h"
#include "pretrain/method.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

// The worked example of four vectors A1, A2, B1, B2 with pairs A1-A2 and B1-B2, not normalised. Our
// order is view-major: first views, then second views.
TEST(NtXentTest, WorkedExample) {
  const at::Tensor z = torch::tensor({{0.6f, 0.2f, -0.7f, 0.3f},
                                      {-0.2f, 0.8f, 0.4f, 0.4f},
                                      {0.5f, 0.3f, -0.8f, 0.1f},
                                      {-0.3f, 0.7f, 0.5f, 0.4f}});
  EXPECT_NEAR(NtXent(z, 0.5).item<double>(), 0.173443, 1e-6);
}

TEST(NtXentTest, FixtureAtTwoTemperatures) {
  // z1 (1,0,0), (.8,.6,0) a pair; (0,1,0), (0,.6,.8) a pair.
  const at::Tensor z = torch::tensor(
      {{1.0f, 0.0f, 0.0f}, {0.0f, 1.0f, 0.0f}, {0.8f, 0.6f, 0.0f}, {0.0f, 0.6f, 0.8f}});
  EXPECT_NEAR(NtXent(z, 0.5).item<double>(), 0.639934463, 1e-6);
  EXPECT_NEAR(NtXent(z, 0.1).item<double>(), 0.230461614, 1e-6);
  EXPECT_NEAR(NtXent(7 * z, 0.1).item<double>(), 0.230461614, 1e-6) << "rows are normalised";
}

TEST(NtXentTest, KnownLevels) {
  // Equal rows: every candidate alike, ln(2N - 1).
  EXPECT_NEAR(NtXent(torch::ones({16, 4}), 0.5).item<double>(), std::log(15.0), 1e-5);
  // Aligned pairs, orthogonal otherwise: ln(e^(1/t) + 2N - 2) - 1/t.
  const at::Tensor z = at::cat({torch::eye(8), torch::eye(8)});
  EXPECT_NEAR(NtXent(z, 0.5).item<double>(), std::log(std::exp(2.0) + 14) - 2, 1e-5);
}

TEST(NtXentTest, GradientAgreesWithCrossEntropyInDouble) {
  at::manual_seed(2);
  const at::Tensor values = torch::randn({12, 6});
  at::Tensor a = values.clone().set_requires_grad(true);
  at::Tensor b = values.to(at::kDouble).set_requires_grad(true);
  NtXent(a, 0.2).backward();
  const at::Tensor rows = b / b.norm(2, {1}, true);
  const at::Tensor logits = at::matmul(rows, rows.t()) / 0.2 - 1e9 * torch::eye(12, at::kDouble);
  const at::Tensor target = (torch::arange(12) + 6).remainder(12);
  at::cross_entropy_loss(logits, target).backward();
  EXPECT_LT((a.grad().to(at::kDouble) - b.grad()).abs().max().item<double>(), 1e-6);
}

TEST(NtXentTest, ComputesInFp32UnderAutocast) {
  at::manual_seed(2);
  const at::Tensor z = torch::randn({64, 16});
  const double plain = NtXent(z, 0.1).item<double>();
  const engine::AutocastGuard autocast(c10::kCPU, true);
  EXPECT_EQ(NtXent(z, 0.1).item<double>(), plain);
}

TEST(ByolLossTest, ByHand) {
  const at::Tensor p = torch::tensor({{2.0f, 0.0f}, {0.0f, 3.0f}});
  const at::Tensor t = torch::tensor({{3.0f, 4.0f}, {0.0f, 1.0f}});
  EXPECT_NEAR(ByolLoss(p, t).item<double>(), 2 - (0.6 + 1.0), 1e-6);  // 2 - 2 * mean cos
  at::Tensor target = t.clone().set_requires_grad(true),
             prediction = p.clone().set_requires_grad(true);
  ByolLoss(prediction, target).backward();
  EXPECT_FALSE(target.grad().defined());
  EXPECT_TRUE(prediction.grad().defined());
}

TEST(MonitorTensorsTest, SpreadAndPairs) {
  EXPECT_NEAR(FeatureSpread(torch::ones({8, 4})).item<double>(), 0.0, 1e-6);
  at::manual_seed(1);
  EXPECT_NEAR(FeatureSpread(torch::randn({4096, 32})).item<double>(), 1.0, 0.02);
  const at::Tensor x = torch::randn({16, 32});
  EXPECT_EQ(PairTop1(at::cat({x, x + 0.01})).item<double>(), 1.0);
  EXPECT_EQ(PairTop1(at::cat({x, x.roll(1, 0)})).item<double>(), 0.0);
}

PretrainOptions Small(const std::string& method) {
  PretrainOptions options;
  options.method = method;
  options.arch = "resnet18";
  options.stem = "cifar";
  options.Set("byol.hidden", "32");
  options.Set("byol.out", "16");
  return options;
}

engine::ResNet SmallEncoder() {
  engine::ResNetOptions net;
  net.arch = "resnet18";
  net.stem = "cifar";
  net.width = 8;
  engine::ResNet encoder(net);
  engine::InitResNet(encoder, 5);
  return encoder;
}

TEST(MethodTest, SimClrIsItsNetworksAndNtXent) {
  const PretrainOptions options = Small("simclr");
  const auto method = MakeMethod(options, SmallEncoder());
  EXPECT_NEAR(method->ChanceLoss(256), 6.236, 1e-3);
  at::manual_seed(4);
  const at::Tensor views = torch::randn({8, 3, 16, 16});
  const StepOutput output = method->Forward({views});
  EXPECT_EQ(output.embedding.sizes(), (std::vector<int64_t>{8, 128}));
  EXPECT_FALSE(output.embedding.requires_grad());
  EXPECT_NEAR(output.loss.item<double>(), NtXent(output.embedding, 0.5).item<double>(), 1e-6);
  output.loss.backward();
  for (const auto& [name, parameter] : method->Trainable()) {
    EXPECT_TRUE(parameter.grad().defined()) << name;
  }
}

TEST(MethodTest, HeadsDependOnTheSeedAndTheirName) {
  PretrainOptions options = Small("byol");
  auto hash = [&](const char* part) {
    return engine::ToStateDict(*MakeMethod(options, SmallEncoder())->parts().at(part)).Hash();
  };
  const std::string projector = hash("projector");
  EXPECT_EQ(projector, hash("projector"));
  EXPECT_EQ(projector, hash("target_projector"));
  options.seed_value = 1;
  EXPECT_NE(projector, hash("projector"));
}

TEST(MethodTest, ByolTargetIsTheAverageOfTheOnlineNetworkAndItsStatistics) {
  PretrainOptions options = Small("byol");
  options.Set("byol.ema", "0.9");
  const auto method = MakeMethod(options, SmallEncoder());
  auto dict = [&](const char* part) { return engine::ToStateDict(*method->parts().at(part)); };
  at::manual_seed(4);
  const at::Tensor views = torch::randn({8, 3, 16, 16});
  const core::StateDict before = dict("target_encoder");
  EXPECT_EQ(before.Hash(), dict("encoder").Hash());
  const StepOutput output = method->Forward({views});
  for (const char* name : {"bn1.running_mean", "bn1.running_var"}) {
    const auto floats = [&](const core::StateDict& d) { return core::ToFloats(*d.Find(name)); };
    EXPECT_EQ(floats(before), floats(dict("target_encoder")))
        << "its forward pass changes no statistics";
    EXPECT_NE(floats(before), floats(dict("encoder")));
  }
  output.loss.backward();
  for (const auto& [name, parameter] : method->Trainable()) {
    EXPECT_TRUE(parameter.grad().defined()) << name;
    EXPECT_EQ(name.find("target"), std::string::npos);
    at::NoGradGuard no_grad;
    parameter.sub_(0.1 * parameter.grad());
  }
  method->AfterStep(0.5);
  const double weight = 1 - engine::EmaMomentum(0.9, 0.5);
  EXPECT_NEAR(weight, 0.05, 1e-12);
  const core::StateDict online = dict("encoder"), target = dict("target_encoder");
  for (const std::string name : {"conv1.weight", "bn1.running_mean", "layer4.1.bn2.running_var"}) {
    const auto b = core::ToFloats(*before.Find(name)), o = core::ToFloats(*online.Find(name)),
               t = core::ToFloats(*target.Find(name));
    double moved = 0;
    for (size_t i = 0; i < b.size(); ++i) {
      EXPECT_NEAR(t[i], b[i] + weight * (o[i] - b[i]), 1e-6) << name;
      moved += std::abs(o[i] - b[i]);
    }
    EXPECT_GT(moved, 0) << name;
  }
  EXPECT_EQ(core::ToFloats(*target.Find("bn1.num_batches_tracked")),
            core::ToFloats(*online.Find("bn1.num_batches_tracked")));
}

TEST(MethodTest, ByolSumsBothDirectionsAndSplitsViewsOnRequest) {
  for (const char* name : {"byol", "simclr"}) {
    PretrainOptions options = Small(name);
    at::manual_seed(4);
    const at::Tensor half = torch::randn({4, 3, 16, 16});
    const at::Tensor views = at::cat({half, half});
    const double joint = MakeMethod(options, SmallEncoder())->Forward({views}).loss.item<double>();
    options.concat_views = false;
    const double split = MakeMethod(options, SmallEncoder())->Forward({views}).loss.item<double>();
    // Equal halves have equal statistics, so the choice must not matter here.
    EXPECT_NEAR(joint, split, 2e-3) << name;
    EXPECT_GE(joint, 0);
    EXPECT_LE(joint, 8);
  }
}

}  // namespace
}  // namespace eosin::pretrain
