// SPDX-License-Identifier: Apache-2.0
#include "eval/probe/linear_probe.h"

#include <ATen/Parallel.h>
#include <torch/types.h>
#include <cmath>

#include "core/formats/safetensors.h"
#include "core/stats/summary.h"
#include "eval/probe/lbfgs.h"
#include "tests/testing.h"

namespace eosin::eval {
namespace {

TEST(LbfgsTest, FindsTheMinimumOfAQuadraticByHand) {
  // f = (x - 3)^2 + 100 (y + 1)^2
  at::Tensor x = torch::zeros({2}, at::kDouble);
  const LbfgsResult result = MinimizeLbfgs(x,
                                           [](const at::Tensor& at, at::Tensor& gradient) {
                                             const double a = at[0].item<double>() - 3,
                                                          b = at[1].item<double>() + 1;
                                             gradient[0] = 2 * a;
                                             gradient[1] = 200 * b;
                                             return a * a + 100 * b * b;
                                           },
                                           {.iterations = 100, .tolerance = 1e-10});
  EXPECT_TRUE(result.converged);
  EXPECT_LT(result.iterations, 20);
  EXPECT_NEAR(x[0].item<double>(), 3, 1e-9);
  EXPECT_NEAR(x[1].item<double>(), -1, 1e-9);
}

TEST(LbfgsTest, SaysWhenTheIterationsWereNotEnough) {
  at::Tensor x = torch::full({1}, 5.0, at::kDouble);
  const LbfgsResult result = MinimizeLbfgs(x,
                                           [](const at::Tensor& at, at::Tensor& gradient) {
                                             const double a = at[0].item<double>();
                                             gradient[0] = 4 * a * a * a;
                                             return a * a * a * a;
                                           },
                                           {.iterations = 2, .tolerance = 1e-12});
  EXPECT_FALSE(result.converged);
  EXPECT_EQ(result.iterations, 2);
}

TEST(LinearProbeTest, TwoPointsByHand) {
  // Features -1 and 1 (standardised: the same), one class each. By symmetry the weights are -w and
  // w and the biases equal; the loss log(1 + e^-2w) + l2 w^2 has its minimum where
  // w (1 + e^2w) l2 = 1: w = 1 for l2 = 1 / (1 + e^2).
  LinearProbeOptions options;
  options.l2 = 1 / (1 + std::exp(2.0));
  options.tolerance = 1e-10;
  const LinearModel model = FitLinear(torch::tensor({{-1.0f}, {1.0f}}),
                                      torch::tensor({int64_t{0}, int64_t{1}}), 2, options);
  EXPECT_TRUE(model.converged);
  EXPECT_NEAR(model.weight[0][0].item<double>(), -1, 1e-6);
  EXPECT_NEAR(model.weight[1][0].item<double>(), 1, 1e-6);
  EXPECT_NEAR((model.bias[0] - model.bias[1]).item<double>(), 0, 1e-6);
  EXPECT_NEAR(model.loss, std::log(1 + std::exp(-2.0)) + options.l2, 1e-9);
  EXPECT_TRUE(at::equal(model.Predict(torch::tensor({{-0.1f}, {7.0f}})),
                        torch::tensor({int64_t{0}, int64_t{1}})));
}

TEST(LinearProbeTest, AgreesWithScikitLearn) {
  const core::StateDict file =
      core::ReadSafetensors(testing::FixtureFolder() / "eval" / "logistic.safetensors");
  auto tensor = [&](const char* name) {
    const core::TensorBlob* blob = file.Find(name);
    return torch::tensor(core::ToFloats(*blob)).view(blob->shape);
  };
  const at::Tensor x = tensor("features"), y = tensor("labels").to(at::kLong);
  LinearProbeOptions options;
  options.l2 = 1e-2;
  options.tolerance = 1e-9;
  const LinearModel model = FitLinear(x, y, 4, options);
  EXPECT_TRUE(model.converged);
  EXPECT_NEAR(model.loss, tensor("loss").item<double>(), 1e-6);
  EXPECT_LT((model.weight - tensor("weight")).abs().max().item<double>(), 2e-5);
  const at::Tensor log_p = model.Logits(x).log_softmax(1);
  EXPECT_LT((log_p - tensor("log_p")).abs().max().item<double>(), 2e-4);
  // The default tolerance comes near enough to predict alike.
  options.tolerance = LinearProbeOptions().tolerance;
  EXPECT_TRUE(at::equal(FitLinear(x, y, 4, options).Predict(x), model.Predict(x)));
}

// Two clouds that a line parts.
std::pair<at::Tensor, at::Tensor> Clouds(int64_t n, uint64_t seed) {
  at::manual_seed(seed);
  const at::Tensor y = torch::arange(n) % 2;
  at::Tensor x = torch::randn({n, 5});
  x.select(1, 2).add_(6 * (y.to(at::kFloat) - 0.5f));
  return {x, y};
}

TEST(LinearProbeTest, BothSolversPartCloudsAndRepeatThemselves) {
  const auto [x, y] = Clouds(300, 1);
  const auto [test_x, test_y] = Clouds(200, 2);
  for (const char* solver : {"lbfgs", "sgd"}) {
    LinearProbeOptions options;
    options.solver = solver;
    options.epochs = 20;
    options.batch = 64;
    const LinearModel model = FitLinear(x, y, 2, options);
    EXPECT_GT(Score(model.Predict(test_x), test_y, 2).top1, 0.98) << solver;
    EXPECT_TRUE(at::equal(model.weight, FitLinear(x, y, 2, options).weight)) << solver;
  }
}

TEST(LinearProbeTest, SgdStepsByHand) {
  // One image, two epochs, one step each; zero head: p = (.5, .5). lr = 0.5 * 1 / 256 * 256 = .5,
  // then half of it (cosine). Gradient of the weights (p - onehot) x = (-.5, .5) * 2 = (-1, 1).
  LinearProbeOptions options;
  options.solver = "sgd";
  options.epochs = 2;
  options.lr = 128;
  const LinearModel model =
      FitLinear(torch::tensor({{2.0f}}), torch::tensor({int64_t{0}}), 2, options);
  // After step 1: W = (.5, -.5), b = (.25, -.25); logits 1.25 and -1.25.
  const double p1 = 1 / (1 + std::exp(2.5));
  const double w = 0.5 + 0.25 * (0.9 * 1 + 2 * p1), b = 0.25 + 0.25 * (0.9 * 0.5 + p1);
  EXPECT_NEAR(model.weight[0][0].item<double>(), w, 1e-6);
  EXPECT_NEAR(model.weight[1][0].item<double>(), -w, 1e-6);
  EXPECT_NEAR(model.bias[0].item<double>(), b, 1e-6);
}

TEST(LinearProbeTest, BlocksOfRowsChangeNothing) {
  // More rows than one block: the same data twice has the same optimum.
  const auto [x, y] = Clouds(3000, 3);
  LinearProbeOptions options;
  options.l2 = 1e-2;
  options.tolerance = 1e-8;
  const LinearModel once = FitLinear(x, y, 2, options);
  const LinearModel twice = FitLinear(at::cat({x, x}), at::cat({y, y}), 2, options);
  EXPECT_LT((once.weight - twice.weight).abs().max().item<double>(), 1e-5);
  EXPECT_NEAR(once.loss, twice.loss, 1e-9);
}

TEST(LinearProbeTest, RefusesWhatCannotBeFitted) {
  const at::Tensor y = torch::zeros({3}, at::kLong);
  testing::ExpectError([&] { FitLinear(torch::ones({2, 4}), y, 2, {}); }, core::ExitCode::kBadInput,
                       "features (N,D) with N labels");
  testing::ExpectError([&] { FitLinear(torch::ones({0, 4}), torch::zeros({0}, at::kLong), 2, {}); },
                       core::ExitCode::kBadInput, "features (N,D) with N labels");
  testing::ExpectError([&] { FitLinear(torch::ones({3, 4}), y - 1, 2, {}); },
                       core::ExitCode::kBadInput, "outside of 0..1");
  testing::ExpectError([&] { FitLinear(torch::full({3, 4}, NAN), y, 2, {}); },
                       core::ExitCode::kBadInput, "not finite");
}

TEST(ScoreTest, BalancedAccuracyByHand) {
  const at::Tensor labels = torch::tensor({0, 0, 0, 1}, at::kLong);
  const at::Tensor predicted = torch::tensor({0, 0, 1, 1}, at::kLong);
  const Accuracy accuracy = Score(predicted, labels, 5);
  EXPECT_DOUBLE_EQ(accuracy.top1, 0.75);
  EXPECT_DOUBLE_EQ(accuracy.balanced, (2.0 / 3 + 1) / 2);  // absent classes do not count
  testing::ExpectError([] { Score(torch::zeros({0}), torch::zeros({0}), 2); },
                       core::ExitCode::kBadInput, "accuracy");
}

}  // namespace
}  // namespace eosin::eval
