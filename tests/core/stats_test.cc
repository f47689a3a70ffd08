// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "core/base/philox.h"
#include "core/stats/resample.h"
#include "core/stats/summary.h"
#include "core/stats/tests.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Summary, HandComputed) {
  const std::vector<double> values = {2, 4, kNan, 9};
  EXPECT_DOUBLE_EQ(Mean(values), 5);
  EXPECT_DOUBLE_EQ(StandardDeviation(values), std::sqrt((9.0 + 1 + 16) / 2));
  EXPECT_TRUE(std::isnan(Mean(std::vector<double>{kNan})));
  EXPECT_TRUE(std::isnan(StandardDeviation(std::vector<double>{1})));
  // numpy.quantile([1, 2, 4, 8], .4): position 1.2 -> 2 + .2 * 2.
  EXPECT_DOUBLE_EQ(Quantile({8, 1, 4, 2}, 0.4), 2.4);
  EXPECT_DOUBLE_EQ(Quantile({8, 1, 4, 2}, 0.0), 1);
  EXPECT_DOUBLE_EQ(Quantile({8, 1, 4, 2}, 1.0), 8);
}

TEST(Summary, StudentQuantiles) {
  EXPECT_NEAR(StudentQuantile(0.975, 1), 12.7062, 1e-4);  // printed tables
  EXPECT_NEAR(StudentQuantile(0.975, 4), 2.7764, 1e-4);
  EXPECT_NEAR(StudentQuantile(0.025, 19), -2.0930, 1e-4);
}

TEST(Summary, CliffsDelta) {
  // Pairs of {1, 2} and {1, 3}: 1=1, 1<3, 2>1, 2<3 -> (1 - 2) / 4.
  EXPECT_DOUBLE_EQ(CliffsDelta(std::vector<double>{1, 2}, std::vector<double>{1, 3}), -0.25);
  EXPECT_DOUBLE_EQ(CliffsDelta(std::vector<double>{5, 6}, std::vector<double>{1, 2}), 1);
}

TEST(SignFlip, HandComputed) {
  // |sums| of {1, 2, 3} over the 8 patterns: 6, 4, 2, 0, 0, 2, 4, 6. Observed 6: 2 of 8.
  const SignFlipResult all_up = SignFlipTest(std::vector<double>{1, 2, 3});
  EXPECT_DOUBLE_EQ(all_up.p, 0.25);
  EXPECT_DOUBLE_EQ(all_up.smallest_p, 0.25);
  EXPECT_DOUBLE_EQ(all_up.mean, 2);
  EXPECT_EQ(all_up.n, 3);
  // {-1, 2, 3}: observed 4; patterns with |sum| >= 4: 6, 4, 4, 6 -> 4 of 8.
  EXPECT_DOUBLE_EQ(SignFlipTest(std::vector<double>{-1, 2, 3}).p, 0.5);
  EXPECT_DOUBLE_EQ(SignFlipTest(std::vector<double>{0, 0, 0}).p, 1);
}

TEST(SignFlip, SmallestAttainable) {
  for (const int n : {1, 5, 6, 8}) {
    const SignFlipResult result = SignFlipTest(std::vector<double>(static_cast<size_t>(n), 0.1));
    EXPECT_DOUBLE_EQ(result.p, std::min(1.0, 2 / std::pow(2, n))) << n;
    EXPECT_DOUBLE_EQ(result.smallest_p, result.p) << n;
  }
  EXPECT_EQ(SignFlipTest(std::vector<double>{}).n, 0);
  EXPECT_EQ(SignFlipTest(std::vector<double>{1, kNan}).n, 1);
  testing::ExpectError([] { SignFlipTest(std::vector<double>(21, 1.0)); }, ExitCode::kUsage,
                       "21 seeds");
}

TEST(SignFlip, TiesSurviveRounding) {
  // .1 + .2 - .3 is 5.5e-17, not 0: the flips that cancel exactly must all count as ties.
  EXPECT_DOUBLE_EQ(SignFlipTest(std::vector<double>{0.1, 0.2, -0.3}).p, 1);
}

TEST(Holm, HandComputed) {
  // Sorted .01 .02 .03 .5 times 4 3 2 1 = .04 .06 .06 .5, in the order given.
  EXPECT_THAT(HolmAdjust(std::vector<double>{0.03, 0.01, 0.5, 0.02}),
              Pointwise(DoubleNear(1e-12), {0.06, 0.04, 0.5, 0.06}));
  EXPECT_THAT(HolmAdjust(std::vector<double>{0.9, 0.8}), ElementsAre(1, 1));
  const auto with_gap = HolmAdjust(std::vector<double>{kNan, 0.02});
  EXPECT_TRUE(std::isnan(with_gap[0]));
  EXPECT_DOUBLE_EQ(with_gap[1], 0.02);  // the test that was not made does not count
}

TEST(Bootstrap, ConstantTableHasNoWidth) {
  const SeedPatientTable table = {{0.5, 0.5}, {0.5, 0.5}};
  const Interval interval = CrossedBootstrap(table, {});
  EXPECT_DOUBLE_EQ(interval.estimate, 0.5);
  EXPECT_DOUBLE_EQ(interval.low, 0.5);
  EXPECT_DOUBLE_EQ(interval.high, 0.5);
}

TEST(Bootstrap, TwoByTwoDistribution) {
  // One seed, patients 0 and 1: means 0, .5, 1 with probabilities 1/4, 1/2, 1/4. So the 95 %
  // interval is all of [0, 1], and an interval of 40 % is the point .5.
  const SeedPatientTable table = {{0, 1}};
  const Interval wide = CrossedBootstrap(table, {});
  EXPECT_DOUBLE_EQ(wide.estimate, 0.5);
  EXPECT_DOUBLE_EQ(wide.low, 0);
  EXPECT_DOUBLE_EQ(wide.high, 1);
  const Interval narrow = CrossedBootstrap(table, {}, {.level = 0.4});
  EXPECT_DOUBLE_EQ(narrow.low, 0.5);
  EXPECT_DOUBLE_EQ(narrow.high, 0.5);
  // Seeds are resampled too: the same two values down each column.
  const Interval seeds = CrossedBootstrap({{0, 0}, {1, 1}}, {});
  EXPECT_DOUBLE_EQ(seeds.low, 0);
  EXPECT_DOUBLE_EQ(seeds.high, 1);
}

TEST(Bootstrap, OnePatientHasNoInterval) {
  const std::vector<double> weights = {3, 0};
  for (const Interval& interval :
       {CrossedBootstrap({{0.5}}, {}), CrossedBootstrap({{0.2}, {0.8}}, {}),
        CrossedBootstrap({{0.5, kNan}, {0.5, kNan}}, {}), CrossedBootstrap({{0.5, 1}}, weights),
        PairedDifference({{0.9}}, {{0.4}}, {})}) {
    EXPECT_DOUBLE_EQ(interval.estimate, 0.5);
    EXPECT_TRUE(std::isnan(interval.low) && std::isnan(interval.high));
    EXPECT_FALSE(interval.Excludes(0));
  }
}

TEST(Bootstrap, CrossedVarianceIsTheSumOfBoth) {
  // v[s][p] = a_s + b_p: the variance of the bootstrap mean is var(a)/S + var(b)/P (population
  // variances). With many levels the distribution is close to normal.
  const int seeds = 20, patients = 30;
  SeedPatientTable table(seeds, std::vector<double>(patients));
  std::vector<double> a, b;
  PhiloxStream stream(3, DrawPurpose::kTest, 0, 0);
  for (int s = 0; s < seeds; ++s) a.push_back(stream.Normal());
  for (int p = 0; p < patients; ++p) b.push_back(2 * stream.Normal());
  for (int s = 0; s < seeds; ++s) {
    for (int p = 0; p < patients; ++p) table[s][p] = a[s] + b[p];
  }
  auto population = [](const std::vector<double>& v) {
    const double n = static_cast<double>(v.size());
    return std::pow(StandardDeviation(v), 2) * (n - 1) / n;
  };
  const double sd = std::sqrt(population(a) / seeds + population(b) / patients);
  const Interval interval = CrossedBootstrap(table, {});
  EXPECT_NEAR(interval.estimate, Mean(a) + Mean(b), 1e-12);
  EXPECT_NEAR(interval.high - interval.low, 2 * 1.96 * sd, 0.05 * 2 * 1.96 * sd);
}

TEST(Bootstrap, WeightsAndNotApplicable) {
  const SeedPatientTable table = {{0.2, 0.8, kNan}, {0.4, kNan, kNan}};
  const std::vector<double> weights = {1, 3, 5};
  // (1 * .2 + 3 * .8 + 1 * .4) / 5
  EXPECT_NEAR(CrossedBootstrap(table, weights).estimate, 0.6, 1e-12);
  EXPECT_THAT(RowMeans(table, weights), Pointwise(DoubleNear(1e-12), {2.6 / 4, 0.4}));
  EXPECT_TRUE(std::isnan(CrossedBootstrap({{kNan}}, {}).estimate));
  testing::ExpectError([&] { CrossedBootstrap({{1, 2}, {1}}, {}); }, ExitCode::kBadInput,
                       "different lengths");
}

TEST(Bootstrap, PairingRemovesWhatIsCommon) {
  // Patients differ by far more than the arms do; the difference is .1 everywhere.
  const SeedPatientTable b = {{0.1, 0.5, 0.9}, {0.2, 0.6, 0.7}};
  SeedPatientTable a = b;
  for (auto& row : a) {
    for (double& value : row) value += 0.1;
  }
  const Interval difference = PairedDifference(a, b, {});
  EXPECT_NEAR(difference.low, 0.1, 1e-12);
  EXPECT_NEAR(difference.high, 0.1, 1e-12);
  EXPECT_TRUE(difference.Excludes(0));
  a[0][0] = kNan;
  EXPECT_NEAR(PairedDifference(a, b, {}).estimate, 0.1, 1e-12);
}

TEST(Bootstrap, SameSeedSameInterval) {
  const SeedPatientTable table = {{0.1, 0.4, 0.3}, {0.2, 0.9, 0.5}};
  const Interval first = CrossedBootstrap(table, {}), again = CrossedBootstrap(table, {});
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.high, again.high);
  EXPECT_NE(CrossedBootstrap(table, {}, {.draws = 10, .seed = 2}).low,
            CrossedBootstrap(table, {}, {.draws = 10, .seed = 3}).low);
}

}  // namespace
}  // namespace eosin::core
