// SPDX-License-Identifier: Apache-2.0
// Losses: published vectors first, then against plain formulas.
#include "pretrain/losses.h"

#include <torch/types.h>
#include <cmath>

#include "engine/training/device.h"
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

TEST(MonitorTensorsTest, Pairs) {
  at::manual_seed(1);
  const at::Tensor x = torch::randn({16, 32});
  EXPECT_EQ(PairTop1(at::cat({x, x + 0.01})).item<double>(), 1.0);
  EXPECT_EQ(PairTop1(at::cat({x, x.roll(1, 0)})).item<double>(), 0.0);
}

}  // namespace
}  // namespace eosin::pretrain
