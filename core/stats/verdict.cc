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

SeedPatientTable MakeTable(const SimulatedStudy& study, uint64_t seed, uint32_t number) {
  PhiloxStream stream(seed, DrawPurpose::kTest, number, 0);
  const Effect effect(study.skewness);
  std::vector<double> patients(static_cast<size_t>(study.patients));
  for (double& patient : patients) patient = study.sd_patient * effect.Draw(stream);
  SeedPatientTable table(static_cast<size_t>(study.seeds));
  for (auto& row : table) {
    const double of_seed = study.effect + study.sd_seed * stream.Normal();
    for (const double patient : patients) {
      row.push_back(of_seed + patient + study.sd_cell * stream.Normal());
    }
  }
  return table;
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
    const SeedPatientTable table = MakeTable(study, seed, static_cast<uint32_t>(i));
    BootstrapOptions options{.draws = draws};
    options.seed = seed + static_cast<uint64_t>(i);
    const Evidence evidence = Weigh(table, options);
    const Interval percentile = CrossedBootstrap(table, {}, options);
    SimulationResult& one = each[static_cast<size_t>(i)];
    const bool shown = Judge(evidence) == Claim::kShown;
    one.coverage = !evidence.interval.Excludes(study.effect);
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
    mean.coverage_percentile += one.coverage_percentile / studies;
    mean.width += one.width / studies;
    mean.shown += one.shown / studies;
    mean.wrong_side += one.wrong_side / studies;
    mean.test_only += one.test_only / studies;
  }
  return mean;
}

}  // namespace eosin::core
