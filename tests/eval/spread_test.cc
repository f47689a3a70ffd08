// SPDX-License-Identifier: Apache-2.0
#include "eval/analysis/spread.h"

#include <cmath>

#include "tests/eval/analysis_fixture.h"

namespace eosin::eval {
namespace {

double Value(const at::Tensor& scalar) { return scalar.item<double>(); }

TEST(SpreadTest, ByHand) {
  // Two orthogonal directions of equal weight: rank 2.
  const at::Tensor two = torch::tensor(
      {{1.0f, 0.0f, 0.0f}, {0.0f, 1.0f, 0.0f}, {-1.0f, 0.0f, 0.0f}, {0.0f, -1.0f, 0.0f}});
  EXPECT_NEAR(Value(RankMe(two)), 2.0, 1e-5);
  // Pairs: four at distance^2 2, two at 4.
  EXPECT_NEAR(Value(Uniformity(two)), std::log((4 * std::exp(-4.0) + 2 * std::exp(-8.0)) / 6),
              1e-6);
  EXPECT_NEAR(Value(DeadShare(two)), 1.0 / 3, 1e-12);
  // Channels 0 and 1: values 1, 0, -1, 0: variance 2/3 each; channel 2: 0.
  EXPECT_NEAR(Value(StdRatio(two)), std::sqrt(3.0) * 2 * std::sqrt(2.0 / 3) / 3, 1e-6);
  // Rows of any length: (3, 0) against (0, 5) are sqrt 2 apart, against (-1, 0) 2.
  EXPECT_NEAR(Value(Alignment(torch::tensor({{3.0f, 0.0f}, {3.0f, 0.0f}}),
                              torch::tensor({{0.0f, 5.0f}, {-1.0f, 0.0f}}))),
              3.0, 1e-6);
}

TEST(SpreadTest, AgreesWithNumpyAndTorch) {
  const auto fixture = AnalysisFixture("small");
  const at::Tensor x = Doubles(fixture["x"], {60, 7}), y = Doubles(fixture["y"], {60, 7});
  EXPECT_NEAR(Value(RankMe(x)), fixture["rank_me"], 1e-6);
  EXPECT_NEAR(Value(RankMe(x.narrow(0, 0, 5))), fixture["rank_me_wide"], 1e-6);
  // The fixture's features have nine digits.
  EXPECT_NEAR(Value(Uniformity(x)), fixture["uniformity"], 2e-9);
  EXPECT_NEAR(Value(Alignment(x, y)), fixture["alignment"], 2e-9);
  EXPECT_NEAR(Value(StdRatio(x)), fixture["std_ratio"], 2e-9);
  const SpreadFacts facts = MeasureSpread(x.to(at::kFloat));
  EXPECT_NEAR(facts.rank_me, fixture["rank_me"], 1e-4);
  EXPECT_NEAR(facts.uniformity, fixture["uniformity"], 1e-6);
  EXPECT_NEAR(facts.std_ratio, fixture["std_ratio"], 1e-6);
  EXPECT_EQ(facts.dead_share, 0);
}

TEST(SpreadTest, TheBlockChangesNothing) {
  at::manual_seed(1);
  const at::Tensor z = torch::randn({53, 5});
  const double whole = Value(Uniformity(z, 1000));
  EXPECT_NEAR(Value(Uniformity(z, 7)), whole, 1e-7);
  EXPECT_NEAR(Value(Uniformity(z, 1)), whole, 1e-7);
}

TEST(SpreadTest, TellsHealthyFromCollapsed) {
  at::manual_seed(2);
  const at::Tensor healthy = torch::randn({2000, 32});
  const SpreadFacts good = MeasureSpread(healthy);
  EXPECT_NEAR(good.std_ratio, 1, 0.02);
  EXPECT_GT(good.rank_me, 31);
  EXPECT_NEAR(good.uniformity, -3.76, 0.05);  // -4 + 8 / D to second order
  EXPECT_EQ(good.dead_share, 0);
  // All in one point but for noise.
  const SpreadFacts collapsed = MeasureSpread(torch::ones({2000, 32}) + 1e-4 * healthy);
  EXPECT_LT(collapsed.std_ratio, 1e-3);
  EXPECT_NEAR(collapsed.uniformity, 0, 1e-5);
  EXPECT_LT(collapsed.rank_me, 1.1);
  EXPECT_EQ(collapsed.dead_share, 1);
  // Dimensional collapse: uniformity and std hardly see it, the rank does.
  const at::Tensor flat = torch::matmul(healthy.narrow(1, 0, 4), torch::randn({4, 32}));
  EXPECT_LT(MeasureSpread(flat).rank_me, 4.1);
  // ReLU channels that died.
  at::Tensor dying = healthy.relu();
  dying.narrow(1, 0, 8).zero_();
  EXPECT_NEAR(MeasureSpread(dying).dead_share, 0.25, 1e-12);
}

TEST(SpreadTest, SmallAndWrongInput) {
  EXPECT_TRUE(std::isnan(Value(Uniformity(torch::ones({1, 3})))));
  EXPECT_TRUE(std::isnan(Value(StdRatio(torch::ones({1, 3})))));
  EXPECT_TRUE(std::isnan(Value(RankMe(torch::ones({0, 3})))));
  EXPECT_EQ(Value(DeadShare(torch::zeros({4, 3}))), 1);
  testing::ExpectError([] { RankMe(torch::ones({3})); }, core::ExitCode::kBadInput, "(N, D)");
  testing::ExpectError([] { Alignment(torch::ones({3, 2}), torch::ones({2, 2})); },
                       core::ExitCode::kBadInput, "shape");
}

}  // namespace
}  // namespace eosin::eval
