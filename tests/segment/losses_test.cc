// SPDX-License-Identifier: Apache-2.0
// Losses: by hand, against torch, segmentation_models.pytorch and Berman's algorithm
// (tests/parity/make_segmentation_fixtures.py), their gradients, and what half precision does.
#include "segment/train/losses.h"

#include <torch/types.h>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "core/base/files.h"
#include "tests/testing.h"

namespace eosin::segment {
namespace {

using nlohmann::json;
using testing::ExpectError;

// p of class 1 = .8, .4 on two pixels.
at::Tensor Uneven() { return torch::tensor({0.2f, 0.6f, 0.8f, 0.4f}).log().view({1, 2, 1, 2}); }
at::Tensor Truth(std::vector<int64_t> classes) {
  return torch::tensor(classes, torch::kLong).view({1, 1, -1});
}
double Value(const at::Tensor& loss) { return loss.item<double>(); }

TEST(Losses, HandComputed) {
  // Two pixels, equal logits: p = .5. CE = ln 2. Dice of either class: 2 * .5 / (1 + 1) = .5.
  const auto logits = torch::zeros({1, 2, 1, 2});
  EXPECT_NEAR(Value(CrossEntropy(logits, Truth({0, 1}))), std::log(2.0), 1e-6);
  EXPECT_NEAR(Value(DiceLoss(logits, Truth({0, 1}))), 0.5, 1e-6);
  // p of class 1 = .8, .4; truth 0, 1. Class 1: 2 * .4 / (1.2 + 1); class 0: 2 * .2 / (.8 + 1).
  EXPECT_NEAR(Value(DiceLoss(Uneven(), Truth({0, 1}))), 1 - (0.8 / 2.2 + 0.4 / 1.8) / 2, 1e-6);
  const double first = -std::log(0.2), second = -std::log(0.4);
  EXPECT_NEAR(Value(CrossEntropy(Uneven(), Truth({0, 1}))), (first + second) / 2, 1e-6);
  EXPECT_NEAR(Value(CrossEntropy(Uneven(), Truth({0, 1}), torch::tensor({3.0f, 1.0f}))),
              (3 * first + second) / 4, 1e-6);
  EXPECT_NEAR(Value(FocalLoss(Uneven(), Truth({0, 1}), 2)),
              (0.8 * 0.8 * first + 0.6 * 0.6 * second) / 2, 1e-6);
  // Errors of both classes are .8 and .6 (two classes mirror each other). The worse pixel alone
  // costs class 0 all of its one true pixel: steps 1, 0. Class 1: union 2 by the false pixel, then
  // the true one: 1/2, 1/2.
  EXPECT_NEAR(Value(LovaszSoftmax(Uneven(), Truth({0, 1}), false)), (0.8 + (0.8 / 2 + 0.6 / 2)) / 2,
              1e-6);
}

TEST(Losses, IgnoredAndAbsent) {
  const auto half = Truth({255, 1});
  // The ignored pixel counts nowhere; class 0 is absent from the truth and left out of the mean.
  EXPECT_NEAR(Value(CrossEntropy(Uneven(), half)), -std::log(0.4), 1e-6);
  EXPECT_NEAR(Value(DiceLoss(Uneven(), half)), 1 - 2 * 0.4 / (0.4 + 1), 1e-6);
  EXPECT_NEAR(Value(FocalLoss(Uneven(), half, 1)), -0.6 * std::log(0.4), 1e-6);
  EXPECT_NEAR(Value(LovaszSoftmax(Uneven(), half, false)), 0.6, 1e-6);
  // A class of weight 0 counts nowhere either.
  EXPECT_NEAR(Value(CrossEntropy(Uneven(), Truth({0, 1}), torch::tensor({0.0f, 2.0f}))),
              -std::log(0.4), 1e-6);
}

TEST(Losses, WithoutAPixelThatCountsTheyAreZeroAndSoAreTheirGradients) {
  const auto none = Truth({255, 255});
  for (const bool per_image : {false, true}) {
    auto logits = Uneven().clone().requires_grad_();
    const LossOptions all{
        .ce = 1, .dice = 1, .focal = 1, .lovasz = 1, .lovasz_per_image = per_image};
    const auto loss = SumOfLosses(all, logits, none, torch::tensor({1.0f, 2.0f}));
    loss.backward();
    EXPECT_EQ(Value(loss), 0);
    EXPECT_EQ(logits.grad().abs().sum().item<float>(), 0);
  }
}

// The losses of the fixture by name.
at::Tensor Named(const std::string& name, const at::Tensor& x, const at::Tensor& y,
                 const at::Tensor& weights) {
  if (name == "ce") return CrossEntropy(x, y);
  if (name == "weighted_ce") return CrossEntropy(x, y, weights);
  if (name == "dice") return DiceLoss(x, y);
  if (name == "focal2") return FocalLoss(x, y, 2.0);
  if (name == "focal1.5_weighted") return FocalLoss(x, y, 1.5, weights);
  if (name == "lovasz_batch") return LovaszSoftmax(x, y, false);
  if (name == "lovasz_image") return LovaszSoftmax(x, y, true);
  throw std::runtime_error("no loss " + name);
}

TEST(Losses, AgreeWithPythonInValueAndGradient) {
  const json cases =
      json::parse(core::ReadFile(testing::FixtureFolder() / "segmentation" / "losses.json"));
  ASSERT_EQ(cases.size(), 4u);
  for (const json& one : cases) {
    const auto shape = one["shape"].get<std::vector<int64_t>>();
    const at::Tensor y = torch::tensor(one["target"].get<std::vector<int64_t>>())
                             .view({shape[0], shape[2], shape[3]});
    const at::Tensor weights = torch::tensor(one["weights"].get<std::vector<float>>());
    for (const auto& [name, wanted] : one["losses"].items()) {
      const at::Tensor x =
          torch::tensor(one["logits"].get<std::vector<float>>()).view(shape).requires_grad_();
      const at::Tensor loss = Named(name, x, y, weights);
      EXPECT_NEAR(Value(loss), wanted["value"].get<double>(), 2e-6) << name;
      loss.backward();
      const at::Tensor grad = torch::tensor(wanted["grad"].get<std::vector<float>>()).view(shape);
      EXPECT_LT((x.grad() - grad).abs().max().item<double>(), 1e-6) << name;
    }
  }
}

TEST(Losses, GradientsAreSlopes) {
  torch::manual_seed(3);
  const at::Tensor y = torch::randint(0, 3, {2, 4, 4});
  y[0][0] = kIgnoredClass;
  const at::Tensor weights = torch::tensor({1.0f, 0.5f, 3.0f});
  for (const char* name : {"ce", "weighted_ce", "dice", "focal2", "focal1.5_weighted",
                           "lovasz_batch", "lovasz_image"}) {
    at::Tensor x = torch::randn({2, 3, 4, 4}).requires_grad_();
    Named(name, x, y, weights).backward();
    const at::Tensor direction = torch::randn(x.sizes());
    const double slope = (x.grad() * direction).sum().item<double>();
    const at::NoGradGuard no_grad;
    const double h = 2e-3;
    const double up = Value(Named(name, x + h * direction, y, weights));
    const double down = Value(Named(name, x - h * direction, y, weights));
    EXPECT_NEAR((up - down) / (2 * h), slope, 1e-3 * (1 + std::abs(slope))) << name;
  }
}

TEST(Losses, OfHardPredictionsLovaszIsOneMinusIoU) {
  torch::manual_seed(4);
  for (int trial = 0; trial < 20; ++trial) {
    const at::Tensor y = torch::randint(0, 3, {2, 6, 6}), guess = torch::randint(0, 3, {2, 6, 6});
    const at::Tensor logits =
        torch::one_hot(guess, 3).permute({0, 3, 1, 2}).to(torch::kFloat) * 200;
    double sum = 0;
    int present = 0;
    for (int c = 0; c < 3; ++c) {
      const at::Tensor t = y.eq(c), p = guess.eq(c);
      if (!t.any().item<bool>()) continue;
      sum += 1 - (t & p).sum().item<double>() / (t | p).sum().item<double>();
      ++present;
    }
    EXPECT_NEAR(Value(LovaszSoftmax(logits, y, false)), sum / present, 1e-5);
  }
}

TEST(Losses, FocalNearsCrossEntropyWherePixelsAreHard) {
  // All pixels surely wrong: (1 - p)^gamma is 1.
  const auto logits = torch::tensor({0.0f, 0.0f, 30.0f, 30.0f}).view({1, 2, 1, 2});
  EXPECT_NEAR(Value(FocalLoss(logits, Truth({0, 0}), 5)),
              Value(CrossEntropy(logits, Truth({0, 0}))), 1e-4);
}

// SMP issue 463: 512 * 512 = 262,144 passes fp16's largest number 65,504, and the loss is NaN.
TEST(Losses, HalfPrecisionLogitsDoNotOverflow) {
  for (const auto type : {torch::kHalf, torch::kBFloat16}) {
    const at::Tensor x =
        torch::zeros({2, 2, 512, 512}, torch::TensorOptions().dtype(type)).requires_grad_();
    at::Tensor y = torch::zeros({2, 512, 512}, torch::kLong);
    y.slice(2, 0, 256).fill_(1);
    const LossOptions all{.ce = 1, .dice = 1, .focal = 1, .lovasz = 1};
    const at::Tensor loss = SumOfLosses(all, x, y);
    EXPECT_EQ(loss.scalar_type(), torch::kFloat);
    // p = .5 everywhere: ln 2 + .5 + .25 ln 2 + .5.
    EXPECT_NEAR(Value(loss), 1.25 * std::log(2.0) + 1.0, 1e-5);
    loss.backward();
    EXPECT_TRUE(torch::isfinite(x.grad()).all().item<bool>());
    EXPECT_GT(x.grad().abs().max().item<float>(), 0);
  }
}

TEST(Losses, SureAndRightOrWrongStaysFinite) {
  for (const float sure : {1e4f, -1e4f}) {
    at::Tensor x = torch::zeros({1, 2, 2, 2});
    x.select(1, 1).fill_(sure);
    x.requires_grad_();
    const LossOptions all{.ce = 1, .dice = 1, .focal = 1, .lovasz = 1, .focal_gamma = 1};
    const at::Tensor loss = SumOfLosses(all, x, torch::ones({1, 2, 2}, torch::kLong));
    loss.backward();
    EXPECT_TRUE(std::isfinite(Value(loss)));
    EXPECT_TRUE(torch::isfinite(x.grad()).all().item<bool>());
  }
}

TEST(Losses, ASumIsTheSumAndZeroFactorsAreLeftOut) {
  torch::manual_seed(5);
  const at::Tensor x = torch::randn({2, 3, 4, 4}), y = torch::randint(0, 3, {2, 4, 4});
  const LossOptions some{.ce = 0, .dice = 0.5, .focal = 2, .lovasz = 0.25, .focal_gamma = 3};
  EXPECT_NEAR(Value(SumOfLosses(some, x, y)),
              0.5 * Value(DiceLoss(x, y)) + 2 * Value(FocalLoss(x, y, 3)) +
                  0.25 * Value(LovaszSoftmax(x, y, false)),
              1e-6);
}

TEST(ClassWeights, ByRuleAndByHand) {
  EXPECT_TRUE(ClassWeights("none", {1, 2}).empty());
  // 100 pixels, two classes present: 100 / (2 * 90), 100 / (2 * 10).
  const auto inverse = ClassWeights("inverse", {90, 10, 0});
  ASSERT_EQ(inverse.size(), 3u);
  EXPECT_NEAR(inverse[0], 0.5556, 1e-4);
  EXPECT_NEAR(inverse[1], 5.0, 1e-12);
  EXPECT_EQ(inverse[2], 0.0);
  EXPECT_NEAR(ClassWeights("sqrt", {90, 10})[1], std::sqrt(5.0), 1e-12);
  EXPECT_EQ(ClassWeights("1, 4,0.5", {0, 0, 0}), (std::vector<double>{1, 4, 0.5}));
  for (const char* bad :
       {"", "frequency", "1,2", "1,2,3,4", "1,x,3", "-1,2,3", "0,0,0", "1,2,nan", "1 2 3"}) {
    ExpectError([&] { ClassWeights(bad, {1, 1, 1}); }, core::ExitCode::kUsage,
                "train.class_weights");
  }
}

}  // namespace
}  // namespace eosin::segment
