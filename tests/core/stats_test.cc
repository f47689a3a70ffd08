// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "core/base/philox.h"
#include "core/stats/crossed.h"
#include "core/stats/resample.h"
#include "core/stats/summary.h"
#include "core/stats/tests.h"
#include "core/stats/variance.h"
#include "core/stats/verdict.h"
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

TEST(SignFlip, HalvesCountWhatEnumerationCounts) {
  PhiloxStream stream(5, DrawPurpose::kTest, 1, 0);
  for (size_t n = 1; n <= 12; ++n) {
    std::vector<double> d(n);
    double observed = 0;
    for (double& value : d) observed += value = std::round(4 * (stream.Normal() + 0.5));  // ties
    uint64_t extreme = 0;
    for (uint64_t pattern = 0; pattern < (uint64_t{1} << n); ++pattern) {
      double sum = 0;
      for (size_t i = 0; i < n; ++i) sum += (pattern >> i & 1) ? -d[i] : d[i];
      extreme += std::fabs(sum) >= std::fabs(observed);
    }
    EXPECT_DOUBLE_EQ(SignFlipTest(d).p,
                     static_cast<double>(extreme) / static_cast<double>(uint64_t{1} << n))
        << n;
  }
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

TEST(Variance, HandComputed) {
  // Rows 0 2, 4 6, additive: no cell variance. Row means 1, 5; column means 2, 4; mean 3.
  // MS_seed = P var(row means) = 2 * 8, MS_patient = S var(column means) = 2 * 2, MS_cell = 0.
  const CrossedVariance v = EstimateVariance({{0, 2}, {4, 6}}, {});
  EXPECT_EQ(v.seeds, 2);
  EXPECT_EQ(v.patients, 2);
  EXPECT_NEAR(v.seed, 8, 1e-12);
  EXPECT_NEAR(v.patient, 2, 1e-12);
  EXPECT_NEAR(v.cell, 0, 1e-12);
  EXPECT_NEAR(v.mean, 8.0 / 2 + 2.0 / 2, 1e-12);
  // Satterthwaite: 5^2 / (4^2 / 1 + 1^2 / 1).
  EXPECT_NEAR(v.degrees, 25.0 / 17, 1e-12);
  EXPECT_NEAR(VarianceAt(v, 4, 8).variance, 8.0 / 4 + 2.0 / 8, 1e-12);
  // 0 2 / 4 10: row means 1, 7, column means 2, 6, mean 4, rests +-1: MS_cell = 4.
  // MS_seed = 2 * 18 = 36 -> (36 - 4) / 2; MS_patient = 2 * 8 = 16 -> (16 - 4) / 2.
  const CrossedVariance w = EstimateVariance({{0, 2}, {4, 10}}, {});
  EXPECT_NEAR(w.cell, 4, 1e-12);
  EXPECT_NEAR(w.seed, 16, 1e-12);
  EXPECT_NEAR(w.patient, 6, 1e-12);
  EXPECT_NEAR(w.mean, 16.0 / 2 + 6.0 / 2 + 4.0 / 4, 1e-12);
}

TEST(Variance, ComponentsAreFoundAgain) {
  CrossedVariance mean;
  const int tables = 400;
  for (int t = 0; t < tables; ++t) {
    PhiloxStream stream(9, DrawPurpose::kTest, static_cast<uint32_t>(t), 0);
    std::vector<double> patients(8);
    for (double& p : patients) p = 3 * stream.Normal();
    SeedPatientTable table(6);
    for (auto& row : table) {
      const double seed = 2 * stream.Normal();
      for (const double p : patients) row.push_back(seed + p + stream.Normal());
    }
    const CrossedVariance v = EstimateVariance(table, {});
    mean.seed += v.seed / tables;
    mean.patient += v.patient / tables;
    mean.cell += v.cell / tables;
    mean.mean += v.mean / tables;
  }
  EXPECT_NEAR(mean.seed, 4, 0.4);
  EXPECT_NEAR(mean.patient, 9, 0.8);
  EXPECT_NEAR(mean.cell, 1, 0.05);
  EXPECT_NEAR(mean.mean, 4.0 / 6 + 9.0 / 8 + 1.0 / 48, 0.1);
}

TEST(Variance, GapsAndFewUnits) {
  const CrossedVariance one_seed = EstimateVariance({{1, 3, 5}}, {});
  EXPECT_NEAR(one_seed.mean, 4.0 / 3, 1e-12);  // of patients alone
  EXPECT_NEAR(one_seed.degrees, 2, 1e-12);
  EXPECT_TRUE(std::isnan(EstimateVariance({{1}, {2}}, {}).mean));
  EXPECT_TRUE(std::isnan(EstimateVariance({}, {}).mean));
  const CrossedVariance gap = EstimateVariance({{0, 2, kNan}, {4, 6, kNan}}, {});
  EXPECT_NEAR(gap.mean, 5, 1e-12);
  EXPECT_EQ(gap.patients, 2);
}

TEST(Variance, SizeForPower) {
  // Seeds alone: sd 1, effect 1, a one-sample t test at .05 with 80 % power needs 10 (printed
  // tables); patients without spread do not help.
  CrossedVariance v{.seeds = 6, .patients = 50, .seed = 1};
  const NeededSize needed = SizeForPower(v, 1, 0.8, 6);
  EXPECT_NEAR(needed.seeds, 10, 1);
  EXPECT_EQ(needed.patients, 0);
  // Patients' spread alone is not healed by seeds.
  v = {.seeds = 6, .patients = 5, .patient = 1};
  const NeededSize patients = SizeForPower(v, 1, 0.8, 6);
  EXPECT_EQ(patients.seeds, 0);
  EXPECT_NEAR(patients.patients, 10, 1);
  EXPECT_EQ(SizeForPower(v, 0, 0.8, 6).patients, 0);
  // The GlaS study of docs/study.md: neither alone is enough, both are. At 20 seeds
  // seed / 20 = 1.94e-5 of (.0134 / 2.9)^2 = 2.1e-5 is taken; patient + cell / 20 over the rest.
  v = {.seeds = 6, .patients = 16, .seed = 3.893e-4, .patient = 4.597e-4, .cell = 4.039e-3};
  const NeededSize both = SizeForPower(v, 0.013359, 0.8, 6);
  EXPECT_EQ(both.seeds, 0);
  EXPECT_EQ(both.patients, 0);
  const auto enough = [&](int patients) {
    const MeanVariance at = VarianceAt(v, kMaxNeededSeeds, patients);
    const double t = StudentQuantile(0.975, at.degrees) + StudentQuantile(0.8, at.degrees);
    return 0.013359 >= t * std::sqrt(at.variance);
  };
  EXPECT_TRUE(enough(both.patients_at_most_seeds));
  EXPECT_FALSE(enough(both.patients_at_most_seeds - 1));
}

TEST(Variance, NeededSizesLieBeyondWhatThereIs) {
  // Six seeds would do by the formula, and six are there: the next is asked for.
  const CrossedVariance v{.seeds = 6, .patients = 16, .seed = 1e-4, .patient = 1e-4};
  const NeededSize needed = SizeForPower(v, 1, 0.8, 6);
  EXPECT_EQ(needed.seeds, 7);
  EXPECT_EQ(needed.patients, 17);
  const CrossedVariance most{.seeds = kMaxNeededSeeds, .patients = 16, .seed = 1e-4};
  EXPECT_EQ(SizeForPower(most, 1, 0.8, 6).seeds, 0);
}

TEST(Bootstrap, StudentMean) {
  const std::vector<double> values = {1, 2, 6, std::nan("")};
  const Interval interval = StudentMean(values);  // sd sqrt(7), t(.975, 2) = 4.30265
  EXPECT_DOUBLE_EQ(interval.estimate, 3);
  EXPECT_NEAR(interval.high, 3 + 4.302653 * std::sqrt(7.0 / 3), 1e-5);
  EXPECT_NEAR(interval.low, 3 - 4.302653 * std::sqrt(7.0 / 3), 1e-5);
  EXPECT_TRUE(std::isnan(StudentMean(std::vector<double>{1.0}).low));
}

TEST(Bootstrap, StudentWidth) {
  const SeedPatientTable table = {{0, 2, 5}, {4, 10, 1}, {3, 3, 2}};
  const CrossedVariance v = EstimateVariance(table, {});
  const Interval student = StudentInterval(table, {});
  EXPECT_NEAR(student.high - student.low, 2 * StudentQuantile(0.975, v.degrees) * std::sqrt(v.mean),
              1e-9);
  const Interval percentile = CrossedBootstrap(table, {});
  EXPECT_GT(student.high - student.low, percentile.high - percentile.low);
  // Both share their widths alike between the sides.
  EXPECT_NEAR((student.estimate - student.low) / (student.high - student.low),
              (percentile.estimate - percentile.low) / (percentile.high - percentile.low), 1e-9);
  // A constant table has no width.
  const Interval flat = StudentInterval({{0.1, 0.1}, {0.1, 0.1}}, {});
  EXPECT_NEAR(flat.high - flat.low, 0, 1e-12);
}

TEST(Bootstrap, DrawsOfOneShapeAreShared) {
  CrossedDraw a, b;
  DrawCrossed({}, 7, 3, 4, &a);
  DrawCrossed({}, 7, 3, 4, &b);
  EXPECT_EQ(a.seeds, b.seeds);
  EXPECT_EQ(a.patients, b.patients);
  EXPECT_NEAR(DrawnMean({{1, kNan}, {5, 7}}, {{1, 2}, {1, 1}}), (1 + 2 * 5 + 2 * 7) / 5.0, 1e-12);
  EXPECT_TRUE(std::isnan(DrawnMean({{kNan, 1}}, {{1}, {2, 0}})));
}

TEST(Verdict, EveryConditionCounts) {
  Evidence evidence{{0.05, 0.01, 0.09}, {.p = 0.03, .smallest_p = 0.03, .n = 6, .mean = 0.05}, 0};
  EXPECT_EQ(Judge(evidence), Claim::kShown);
  evidence.floor = 0.06;
  EXPECT_EQ(Judge(evidence), Claim::kNotShown);
  evidence.floor = 0;
  evidence.interval.low = -0.01;
  EXPECT_EQ(Judge(evidence), Claim::kNotShown);
  evidence.interval.low = 0.01;
  evidence.test.p = 0.06;
  EXPECT_EQ(Judge(evidence), Claim::kNotShown);
  evidence.test.n = 5;
  EXPECT_EQ(Judge(evidence), Claim::kNoVerdict);
}

// A short version of tools/bench/verdict.cc, whose table is in docs/study.md. With 2,000 studies
// the standard error of a coverage of 95 % is 0.5 %.
TEST(Verdict, SimulatedStudies) {
  for (const int seeds : {12, 20}) {
    for (const double skewness : {0.0, 1.5}) {
      const SimulationResult r =
          SimulateStudies({seeds, 16, 0.0, 0.015, 0.03, 0.03, skewness}, 2000, 200, 1, 2);
      EXPECT_GE(r.coverage, skewness > 0 ? 0.92 : 0.93) << seeds << " seeds, " << skewness;
      EXPECT_LE(r.shown, skewness > 0 ? 0.08 : 0.06) << seeds << " seeds, " << skewness;
      EXPECT_GE(r.coverage, r.coverage_percentile - 0.005);
    }
  }
  // Random against random: no difference in any patient.
  const SimulationResult same = SimulateStudies({6, 16, 0, 0.015, 0, 0.03}, 1000, 200, 2, 2);
  EXPECT_LE(same.shown, 0.05);
  // Training sets that differ from fold to fold: the interval is for these ones, that of the folds'
  // differences for any.
  const SimulationResult folds =
      SimulateStudies({12, 16, 0, 0.015, 0.03, 0.03, 0, 4, 0.03}, 1000, 200, 4, 2);
  EXPECT_GE(folds.coverage, 0.94);
  EXPECT_LE(folds.coverage_any, 0.88);
  EXPECT_GE(folds.coverage_folds, 0.93);
  // A large difference is found, and on the right side.
  const SimulationResult large = SimulateStudies({6, 16, 0.08, 0.015, 0.03, 0.03}, 300, 300, 3, 2);
  EXPECT_GE(large.shown, 0.95);
  EXPECT_EQ(large.wrong_side, 0);
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
