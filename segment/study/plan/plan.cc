// SPDX-License-Identifier: Apache-2.0
#include "segment/study/plan/plan.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/error.h"

namespace eosin::segment {
namespace {

using core::DataError;

// Images of a level among `count` training images.
int64_t ImagesAt(const LabelLevel& level, int64_t count) {
  if (level.count == 0) {
    return std::max<int64_t>(1, std::llround(level.fraction * static_cast<double>(count)));
  }
  if (level.count > count) {
    throw DataError(
        fmt::format("study.counts asks for {} labelled images, but {} train", level.count, count),
        "lower it, or give fewer patients to split.val and split.test");
  }
  return level.count;
}

class Planner {
 public:
  Planner(const StudyOptions& options, const std::vector<std::vector<int64_t>>& class_pixels,
          const std::vector<ImageSplit>& splits)
      : options_(options), class_pixels_(class_pixels), primary_(ParsePrimary(options.primary)) {
    plan_.splits = splits;
    plan_.arms = ResolveArms(options);
    plan_.levels = options.Levels();
    for (const ImageSplit& split : splits) CheckLevels(static_cast<int64_t>(split.train.size()));
    const auto first = static_cast<int64_t>(splits.front().train.size());
    std::stable_sort(plan_.levels.begin(), plan_.levels.end(), [&](const auto& a, const auto& b) {
      return ImagesAt(a, first) < ImagesAt(b, first);
    });
  }

  StudyPlan Plan() {
    if (!options_.tune.empty()) AddTuning();
    for (int64_t seed = 0; seed < options_.seeds; ++seed) {
      const auto subsets = Subsets(seed);
      for (size_t l = 0; l < plan_.levels.size(); ++l) {
        for (int64_t fold = 0; fold < Folds(); ++fold) {
          for (const Arm& arm : ResolveArms(options_, fold)) {
            if (!arm.skipped.empty()) continue;
            if (arm.control() && plan_.levels[l] != primary_.level) continue;
            Job job;
            job.arm = arm;
            job.level = plan_.levels[l];
            job.fold = fold;
            job.seed = seed;
            Add(std::move(job), fmt::format("-s{}", seed), subsets[static_cast<size_t>(fold)][l]);
          }
        }
      }
      if (seed == 0) AddRepeats();
    }
    return std::move(plan_);
  }

 private:
  int64_t Folds() const { return static_cast<int64_t>(plan_.splits.size()); }

  void CheckLevels(int64_t images) const {
    std::map<int64_t, LabelLevel> seen;
    for (const LabelLevel& level : plan_.levels) {
      const auto [place, is_new] = seen.try_emplace(ImagesAt(level, images), level);
      if (is_new) continue;
      throw DataError(fmt::format("{} and {} are both {} of {} training images",
                                  place->second.Label(), level.Label(), place->first, images),
                      "leave one out of study.fractions or study.counts");
    }
  }

  // Levels that were enlarged to show every class must not have become one.
  void CheckDistinct(const std::vector<std::vector<int64_t>>& subsets, int64_t seed) const {
    std::map<size_t, LabelLevel> seen;
    for (size_t l = 0; l < subsets.size(); ++l) {
      const auto [place, is_new] = seen.try_emplace(subsets[l].size(), plan_.levels[l]);
      if (is_new) continue;
      throw DataError(
          fmt::format("{} and {} are both {} training images, because so many are needed to show "
                      "every class (seed {})",
                      place->second.Label(), plan_.levels[l].Label(), place->first, seed),
          fmt::format("leave the smaller, {}, out of study.fractions", place->second.Name()));
    }
  }

  // The nested label subsets of a seed, by fold and level.
  std::vector<std::vector<std::vector<int64_t>>> Subsets(int64_t seed) const {
    std::vector<std::vector<std::vector<int64_t>>> subsets;
    for (const ImageSplit& split : plan_.splits) {
      std::vector<int64_t> sizes;
      for (const LabelLevel& level : plan_.levels) {
        sizes.push_back(ImagesAt(level, static_cast<int64_t>(split.train.size())));
      }
      subsets.push_back(NestedSubsets(split.train, class_pixels_, sizes,
                                      static_cast<uint64_t>(seed), options_.segment.data.classes,
                                      options_.segment.data.background));
      for (size_t l = 0; l < sizes.size(); ++l) {
        const auto got = static_cast<int64_t>(subsets.back()[l].size());
        if (plan_.levels[l].count == 0 || got == sizes[l]) continue;
        throw DataError(
            fmt::format("study.counts asks for {} labelled images, but {} are needed to show every "
                        "class (seed {})",
                        sizes[l], got, seed),
            "raise it, or leave rare classes out of mask.classes");
      }
      CheckDistinct(subsets.back(), seed);
    }
    return subsets;
  }

  void Add(Job job, const std::string& suffix, std::vector<int64_t> train) {
    const std::string fold = Folds() > 1 ? fmt::format("f{}-", job.fold) : "";
    const char* tune = job.role == JobRole::kTune ? "tune-" : "";
    job.name = fmt::format("{}{}{}-{}{}", fold, tune, job.arm.name, job.level.Name(), suffix);
    job.train = std::move(train);
    job.steps = options_.StepsFor(
        static_cast<int64_t>(job.train.size()),
        static_cast<int64_t>(plan_.splits[static_cast<size_t>(job.fold)].train.size()));
    plan_.jobs.push_back(std::move(job));
  }

  // Every arm, fold and rate, with the seed behind the last: its labels, heads and orders are of no
  // later run, so no arm is chosen by its own luck.
  void AddTuning() {
    const auto subsets = Subsets(options_.seeds);
    const auto l = static_cast<size_t>(
        std::find(plan_.levels.begin(), plan_.levels.end(), primary_.level) - plan_.levels.begin());
    for (int64_t fold = 0; fold < Folds(); ++fold) {
      for (const Arm& arm : ResolveArms(options_, fold)) {
        if (!arm.skipped.empty() || arm.control()) continue;  // the control takes random's rate
        for (const double lr : options_.tune) {
          Job job;
          job.role = JobRole::kTune;
          job.arm = arm;
          job.level = primary_.level;
          job.fold = fold;
          job.seed = options_.seeds;
          job.lr = lr;
          Add(std::move(job), fmt::format("-lr{:g}", lr), subsets[static_cast<size_t>(fold)][l]);
        }
      }
    }
  }

  // The first job of the primary comparison's first arm again. Its twin is the first main job of
  // that arm and level.
  void AddRepeats() {
    const auto twin = std::find_if(plan_.jobs.begin(), plan_.jobs.end(), [&](const Job& job) {
      return job.role == JobRole::kMain && job.arm.name == primary_.arm_a &&
             job.level == primary_.level;
    });
    if (twin == plan_.jobs.end()) return;  // the arm is skipped
    Job job = *twin;
    job.role = JobRole::kRepeat;
    for (int64_t repeat = 1; repeat <= options_.repeats; ++repeat) {
      Add(job, fmt::format("-s{}-again{}", job.seed, repeat), job.train);
    }
  }

  const StudyOptions& options_;
  const std::vector<std::vector<int64_t>>& class_pixels_;
  const PrimaryComparison primary_;
  StudyPlan plan_;
};

}  // namespace

int64_t LabelledImages(const StudyPlan& plan, const LabelLevel& level) {
  double images = 0, jobs = 0;
  for (const Job& job : plan.jobs) {
    if (job.role != JobRole::kMain || job.fold != 0 || job.level != level) continue;
    images += static_cast<double>(job.train.size());
    ++jobs;
  }
  return jobs > 0 ? std::llround(images / jobs)
                  : ImagesAt(level, static_cast<int64_t>(plan.splits.front().train.size()));
}

StudyPlan PlanStudy(const StudyOptions& options,
                    const std::vector<std::vector<int64_t>>& class_pixels,
                    const std::vector<ImageSplit>& splits) {
  return Planner(options, class_pixels, splits).Plan();
}

}  // namespace eosin::segment
