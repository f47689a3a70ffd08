// SPDX-License-Identifier: Apache-2.0
// Simulates the verdict engine: studies whose true difference is known, by seeds, patients and
// kinds of spread. Prints coverage of the 95 % intervals, false wins and power as Markdown.
//   bench_verdict [STUDIES=2000] [DRAWS=1000] [SD_SEED SD_PATIENT SD_CELL]
// A second table has folds whose training sets differ.
// Standard deviations are of paired differences, in Dice.
#include <fmt/format.h>
#include <cstdio>
#include <cstdlib>

#include "core/base/threads.h"
#include "core/stats/verdict.h"

int main(int argc, char** argv) {
  using namespace eosin;
  auto number = [&](int i, double other) { return argc > i ? std::atof(argv[i]) : other; };
  const int studies = static_cast<int>(number(1, 2000)), draws = static_cast<int>(number(2, 1000));
  // study.json of a study says what its own are (sd_seed, sd_patient, sd_cell).
  const double seed = number(3, 0.015), patient = number(4, 0.03), cell = number(5, 0.03);
  const int threads = core::AvailableCores();
  std::printf("%d studies a row, %d draws an interval; sd: seed %g, patient %g, cell %g\n\n",
              studies, draws, seed, patient, cell);
  std::puts(
      "| truth | patients | seeds | coverage | percentile | width | shown | wrong side | p < .05 "
      "|");
  std::puts("|---|---|---|---|---|---|---|---|---|");
  struct Case {
    const char* name;
    double effect, patient, skewness;
  };
  const Case cases[] = {{"A/A: no difference, in no patient", 0, 0, 0},
                        {"no difference on average", 0, patient, 0},
                        {"no difference on average, skewed", 0, patient, 1.5},
                        {"+0.02", 0.02, patient, 0},
                        {"+0.05", 0.05, patient, 0},
                        {"+0.05, skewed", 0.05, patient, 1.5}};
  for (const Case& c : cases) {
    for (const int patients : {5, 16, 50}) {
      for (const int seeds : {6, 7, 12, 20}) {
        const core::SimulationResult r =
            core::SimulateStudies({seeds, patients, c.effect, seed, c.patient, cell, c.skewness},
                                  studies, draws, 1, threads);
        std::puts(
            fmt::format("| {} | {} | {} | {:.1f} % | {:.1f} % | {:.3f} | {:.1f} % | {:.1f} % | "
                        "{:.1f} % |",
                        c.name, patients, seeds, 100 * r.coverage, 100 * r.coverage_percentile,
                        r.width, 100 * r.shown, 100 * r.wrong_side, 100 * r.test_only)
                .c_str());
        std::fflush(stdout);
      }
    }
  }
  std::puts(
      "\n| sd of folds | patients | folds | seeds | coverage, these training sets | coverage, any "
      "| of "
      "the folds' interval, any | width | folds' width |");
  std::puts("|---|---|---|---|---|---|---|---|---|");
  for (const double fold : {0.0, 0.01, 0.02, 0.03}) {
    for (const int folds : {2, 4}) {
      for (const int seeds : {6, 12, 20}) {
        const core::SimulationResult r = core::SimulateStudies(
            {seeds, 16, 0, seed, patient, cell, 0, folds, fold}, studies, draws, 1, threads);
        std::puts(fmt::format(
                      "| {:g} | 16 | {} | {} | {:.1f} % | {:.1f} % | {:.1f} % | {:.3f} | {:.3f} |",
                      fold, folds, seeds, 100 * r.coverage, 100 * r.coverage_any,
                      100 * r.coverage_folds, r.width, r.width_folds)
                      .c_str());
        std::fflush(stdout);
      }
    }
  }
  return 0;
}
