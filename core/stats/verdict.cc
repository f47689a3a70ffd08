// SPDX-License-Identifier: Apache-2.0
#include "core/stats/verdict.h"

#include <boost/math/distributions/gamma.hpp>
#include <cmath>

#include "core/base/philox.h"
#include "core/base/threads.h"
#include "core/stats/crossed.h"

namespace eosin::core {
namespace {

// Mean 0, standard deviation 1. A gamma distribution of shape k has skewness 2 / sqrt(k).
class Effect {
 public:
  explicit Effect(double skewness) : shape_(skewness > 0 ? 4 / (skewness * skewness) : 0) {}
  double Draw(PhiloxStream& stream) const {
    if (shape_ <= 0) return stream.Normal();
    const double u = (static_cast<double>(stream.Next()) + 0.5) * 0x1p-32;
    const boost::math::gamma_distribution<double> gamma(shape_, 1.0);
    return (boost::math::quantile(gamma, u) - shape_) / std::sqrt(shape_);
  }

 private:
  double shape_;
};

size_t FoldOf(const SimulatedStudy& study, size_t patient) {
  return patient % static_cast<size_t>(study.folds);
}

// `of_folds`: the mean of the folds' effects over the patients.
SeedPatientTable MakeTable(const SimulatedStudy& study, uint64_t seed, uint32_t number,
                           double* of_folds) {
  PhiloxStream stream(seed, DrawPurpose::kTest, number, 0);
  const Effect effect(study.skewness);
  std::vector<double> patients(static_cast<size_t>(study.patients));
  for (double& patient : patients) patient = study.sd_patient * effect.Draw(stream);
  std::vector<double> folds(static_cast<size_t>(study.folds), 0.0);
  if (study.sd_fold > 0) {
    for (double& fold : folds) fold = study.sd_fold * stream.Normal();
  }
  *of_folds = 0;
  for (size_t p = 0; p < patients.size(); ++p) {
    patients[p] += folds[FoldOf(study, p)];
    *of_folds += folds[FoldOf(study, p)] / static_cast<double>(patients.size());
  }
  SeedPatientTable table(static_cast<size_t>(study.seeds));
  for (auto& row : table) {
    const double of_seed = study.effect + study.sd_seed * stream.Normal();
    for (const double patient : patients) {
      row.push_back(of_seed + patient + study.sd_cell * stream.Normal());
    }
  }
  return table;
}

std::vector<double> FoldMeans(const SimulatedStudy& study, const SeedPatientTable& table) {
  std::vector<double> sums(static_cast<size_t>(study.folds)), counts = sums;
  for (const auto& row : table) {
    for (size_t p = 0; p < row.size(); ++p) {
      sums[FoldOf(study, p)] += row[p];
      ++counts[FoldOf(study, p)];
    }
  }
  for (size_t k = 0; k < sums.size(); ++k) sums[k] /= counts[k];
  return sums;
}

}  // namespace

Evidence Weigh(const SeedPatientTable& differences, const BootstrapOptions& options, double floor) {
  return {StudentInterval(differences, {}, options), SignFlipTest(RowMeans(differences, {})),
          floor};
}

Claim Judge(const Evidence& evidence) {
  const double estimate = evidence.interval.estimate;
  if (std::isnan(estimate) || evidence.test.n < kSeedsForVerdict) return Claim::kNoVerdict;
  const bool shown = evidence.test.p < 0.05 && evidence.interval.Excludes(0) &&
                     std::fabs(estimate) > evidence.floor;
  return shown ? Claim::kShown : Claim::kNotShown;
}

SimulationResult SimulateStudies(const SimulatedStudy& study, int studies, int draws, uint64_t seed,
                                 int threads) {
  std::vector<SimulationResult> each(static_cast<size_t>(studies));
  ParallelFor(studies, threads, [&](int64_t i) {
    double of_folds = 0;
    const SeedPatientTable table = MakeTable(study, seed, static_cast<uint32_t>(i), &of_folds);
    BootstrapOptions options{.draws = draws};
    options.seed = seed + static_cast<uint64_t>(i);
    const Evidence evidence = Weigh(table, options);
    const Interval percentile = CrossedBootstrap(table, {}, options);
    SimulationResult& one = each[static_cast<size_t>(i)];
    const bool shown = Judge(evidence) == Claim::kShown;
    one.coverage = !evidence.interval.Excludes(study.effect + of_folds);
    one.coverage_any = !evidence.interval.Excludes(study.effect);
    if (study.folds > 1) {
      const Interval folds = StudentMean(FoldMeans(study, table));
      one.coverage_folds = !folds.Excludes(study.effect);
      one.width_folds = folds.high - folds.low;
    }
    one.coverage_percentile = !percentile.Excludes(study.effect);
    one.width = evidence.interval.high - evidence.interval.low;
    one.shown = shown;
    one.wrong_side = shown && evidence.interval.estimate * study.effect < 0;
    one.test_only = evidence.test.p < 0.05;
  });
  SimulationResult mean;
  mean.studies = studies;
  for (const SimulationResult& one : each) {
    mean.coverage += one.coverage / studies;
    mean.coverage_any += one.coverage_any / studies;
    mean.coverage_folds += one.coverage_folds / studies;
    mean.width_folds += one.width_folds / studies;
    mean.coverage_percentile += one.coverage_percentile / studies;
    mean.width += one.width / studies;
    mean.shown += one.shown / studies;
    mean.wrong_side += one.wrong_side / studies;
    mean.test_only += one.test_only / studies;
  }
  return mean;
}

}  // namespace eosin::core
