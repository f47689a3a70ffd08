// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/drift.h"

#include <cmath>

#include "tests/eval/analysis_fixture.h"

namespace eosin::eval {
namespace {

at::Tensor Rotation(int64_t d, uint64_t seed) {
  at::manual_seed(seed);
  return std::get<0>(torch::linalg_qr(torch::randn({d, d}, at::kDouble)));
}

TEST(CkaTest, AgreesWithNumpy) {
  const auto fixture = AnalysisFixture("small");
  const at::Tensor x = Doubles(fixture["x"], {60, 7}), y = Doubles(fixture["y"], {60, 7});
  EXPECT_NEAR(LinearCka(x, y), fixture["cka"], 1e-9);
  EXPECT_NEAR(LinearCka(x, y.narrow(1, 0, 3)), fixture["cka_narrow"], 1e-9);
}

TEST(CkaTest, RotationScaleAndShiftAreNoDrift) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const at::Tensor x = Clouds(3, 20, 6, 4, seed).to(at::kDouble);
    EXPECT_NEAR(LinearCka(x, torch::matmul(x, Rotation(6, seed)) * 3 + 5), 1, 1e-9);
  }
  EXPECT_TRUE(std::isnan(LinearCka(torch::ones({5, 2}), torch::randn({5, 2}))));
  testing::ExpectError([] { LinearCka(torch::ones({5, 2}), torch::ones({4, 2})); },
                       core::ExitCode::kBadInput, "different numbers");
}

TEST(MeanCosineTest, ByHand) {
  const at::Tensor x = torch::tensor({{1.0f, 0.0f}, {0.0f, 2.0f}});
  EXPECT_NEAR(MeanCosine(x, torch::tensor({{3.0f, 0.0f}, {1.0f, 0.0f}})), 0.5, 1e-7);
  EXPECT_NEAR(MeanCosine(x, -x), -1, 1e-7);
}

TEST(CentroidsTest, ByHand) {
  // Classes 0 and 2 at +-(1, 0) around (5, 5); the other encoder has them at +-(0, 2).
  const at::Tensor x = torch::tensor({{6.0f, 5.0f}, {4.0f, 5.0f}, {9.0f, 9.0f}});
  const at::Tensor y = torch::tensor({{0.0f, 2.0f}, {0.0f, -2.0f}, {7.0f, 7.0f}});
  const at::Tensor labels = torch::tensor({0, 2, -1}, at::kLong);
  const CentroidFacts facts = CompareCentroids(x, y, labels);
  ASSERT_EQ(facts.classes.size(), 2u);
  EXPECT_EQ(facts.classes[1].label, 2);
  EXPECT_NEAR(facts.classes[0].cosine, 0, 1e-12);
  EXPECT_NEAR(facts.classes[0].distance, std::sqrt(5.0), 1e-12);
  EXPECT_TRUE(std::isnan(facts.geometry));
}

TEST(CentroidsTest, GeometryIsFreeOfCoordinates) {
  const at::Tensor x = Clouds(6, 10, 8, 9, 1).to(at::kDouble), labels = CloudLabels(6, 10);
  const at::Tensor turned = torch::matmul(x, Rotation(8, 3)) * 2;
  const CentroidFacts facts = CompareCentroids(x, turned, labels);
  EXPECT_NEAR(facts.geometry, 1, 1e-9);
  EXPECT_LT(facts.mean_cosine, 0.9);
  const CentroidFacts narrow = CompareCentroids(x, turned.narrow(1, 0, 4), labels);
  EXPECT_TRUE(narrow.classes.empty());
  EXPECT_TRUE(std::isnan(narrow.mean_cosine));
  EXPECT_LT(narrow.geometry, 1);
  const CentroidFacts same = CompareCentroids(x, x, labels);
  EXPECT_NEAR(same.mean_cosine, 1, 1e-12);
  EXPECT_EQ(same.mean_distance, 0);
}

TEST(WeightsTest, ByStage) {
  core::StateDict a, b;
  a.Add("conv1.weight", {2}, {3, 4});
  a.Add("bn1.weight", {1}, {0});
  a.Add("bn1.running_mean", {1}, {1});
  a.Add("layer1.0.conv1.weight", {2}, {1, 0});
  a.Add("layer1.1.conv1.weight", {1}, {1});
  b.Add("layer1.1.conv1.weight", {1}, {-1});  // any order
  b.Add("bn1.running_mean", {1}, {100});
  b.Add("conv1.weight", {2}, {3, 4});
  b.Add("bn1.weight", {1}, {5});
  b.Add("layer1.0.conv1.weight", {2}, {1, 0});
  const std::vector<StageDrift> drift = CompareWeights(a, b);
  ASSERT_EQ(drift.size(), 2u);
  EXPECT_EQ(drift[0].stage, "stem");
  EXPECT_EQ(drift[0].parameters, 3);
  EXPECT_NEAR(drift[0].relative, 1, 1e-12);  // 5 of 5
  EXPECT_NEAR(drift[0].cosine, 25 / (5 * std::sqrt(50.0)), 1e-12);
  EXPECT_EQ(drift[1].stage, "layer1");
  EXPECT_NEAR(drift[1].relative, 2 / std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(drift[1].cosine, 0, 1e-12);
  b.Add("layer2.0.conv1.weight", {1}, {1});
  testing::ExpectError([&] { CompareWeights(a, b); }, core::ExitCode::kBadInput, "layer2.0.conv1");
  testing::ExpectError([&] { CompareWeights(b, a); }, core::ExitCode::kBadInput, "layer2.0.conv1");
}

}  // namespace
}  // namespace eosin::eval
