// SPDX-License-Identifier: Apache-2.0
// A study on made numbers, without images or networks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "segment/study/analysis/analysis.h"

namespace eosin::testing {

inline segment::StudyOptions TwoArms(int64_t seeds) {
  segment::StudyOptions options;
  options.arms = {"random", "ssl"};
  options.ssl = "ssl.pth";
  options.fractions = {0.5, 1.0};
  options.seeds = seeds;
  options.primary = "ssl-random@0.5:dice";
  options.bootstrap_draws = 1000;
  options.repeats = 1;
  return options;
}

// dice(job, patient) in thousandths. Patients have one image each; with folds they are dealt in
// turn. Every image shows both classes.
struct MadeStudy {
  using Dice = std::function<double(const segment::Job&, int patient)>;

  MadeStudy(segment::StudyOptions study, int patients, const Dice& dice)
      : options(std::move(study)) {
    std::vector<segment::ImageSplit> splits(static_cast<size_t>(options.Folds()));
    std::vector<std::vector<int64_t>> pixels(static_cast<size_t>(patients) + 20, {5, 5});
    for (int p = 0; p < patients; ++p)
      splits[static_cast<size_t>(p) % splits.size()].test.push_back(p);
    for (auto& split : splits) {
      for (int i = 0; i < 20; ++i) split.train.push_back(patients + i);
    }
    plan = segment::PlanStudy(options, pixels, splits);
    for (const segment::Job& job : plan.jobs) {
      segment::SegmentResult result;
      result.classes = options.segment.data.classes;
      if (job.role != segment::JobRole::kTune) {
        for (const int64_t p : plan.splits[static_cast<size_t>(job.fold)].test) {
          // 2 TP / (2 TP + FP) with TP = d and FP = 2 (1000 - d) is d / 1000; times a thousand, so
          // that fractions of a thousandth are kept.
          const auto d = static_cast<int64_t>(1000 * dice(job, static_cast<int>(p)));
          eval::ConfusionMatrix counts(2);
          counts.AddCount(1, 1, d);
          counts.AddCount(0, 1, 2 * (1'000'000 - d));
          result.test.push_back(
              {"image" + std::to_string(p), "patient" + std::to_string(p), counts});
        }
      }
      result.test_last = result.test;
      results.emplace_back(std::move(result));
    }
  }
  segment::Analysis Run() const { return segment::Analyze(options, plan, results); }

  segment::StudyOptions options;
  segment::StudyPlan plan;
  segment::Results results;
};

}  // namespace eosin::testing
