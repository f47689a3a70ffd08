// SPDX-License-Identifier: Apache-2.0
#include "segment/study/run.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"
#include "segment/train/train_state.h"

namespace eosin::segment {

SegmentOptions JobOptions(const StudyOptions& options, const Job& job) {
  SegmentOptions job_options = options.segment;
  job_options.init = job.arm.init;
  job_options.freeze = job.arm.freeze;
  job_options.backbone_lr = job.arm.backbone_lr;
  job_options.seed = job.seed;
  return job_options;
}

std::string JobFingerprint(const StudyOptions& options, const MaskDataset& data,
                           const StudyPlan& plan, const Job& job) {
  SegmentOptions recipe = JobOptions(options, job);
  // What changes no result, or is hashed by content below.
  recipe.workers = 0;
  recipe.keep_predictions = 0;
  recipe.compute.threads = 0;
  recipe.data.data = recipe.data.images = recipe.data.masks = recipe.data.groups = "";
  recipe.data.in_memory = false;
  if (recipe.init != "random") recipe.init = core::Sha256File(recipe.init);
  core::OptionSet set;
  recipe.Bind(set);
  core::Sha256 hash;
  hash.Update(set.ToToml());
  const auto& hashes = data.FileHashes(options.segment.Workers());
  auto part = [&](const std::string& name, const std::vector<int64_t>& indices) {
    hash.Update(name + "\n");
    for (const int64_t i : indices) {
      const MaskItem& item = data.item(i);
      const auto& content = hashes[static_cast<size_t>(i)];
      hash.Update(
          fmt::format("{} {} {} {}\n", item.name, item.patient, content.image, content.mask));
    }
  };
  part("train", job.train);
  part("val", plan.split.val);
  part("test", plan.split.test);
  return hash.Hex();
}

std::vector<SegmentResult> RunJobs(const StudyOptions& options, const MaskDataset& data,
                                   const StudyPlan& plan, const fs::path& folder,
                                   const TrainFunction& train) {
  std::vector<SegmentResult> results;
  const int64_t steps = options.segment.steps;
  core::Progress progress("study", static_cast<int64_t>(plan.jobs.size()) * steps, "steps");
  for (const Job& job : plan.jobs) {
    core::ThrowIfInterrupted();
    const fs::path job_folder = folder / "runs" / job.name;
    const fs::path done = job_folder / "result.json";
    const std::string fingerprint = JobFingerprint(options, data, plan, job);
    if (fs::exists(done)) {
      results.push_back(ReadResult(done));
      if (results.back().fingerprint != fingerprint) {
        throw core::ConfigError(
            fmt::format("{} was made with other settings, data or weights", done.string()),
            "give another --out folder, or the settings in that folder's config.toml");
      }
      progress.Advance(steps);
      continue;
    }
    // What a killed run left is continued from its checkpoint.
    if (!HasTrainState(job_folder)) fs::remove_all(job_folder);
    core::MakeFolder(job_folder);
    progress.SetNote(
        fmt::format("{} ({} of {} models)", job.name, results.size() + 1, plan.jobs.size()));
    ImageSplit split = plan.split;
    split.train = job.train;
    SegmentResult result = train(JobOptions(options, job), data, split, job_folder,
                                 [&](int64_t, double) { progress.Advance(); });
    result.fingerprint = fingerprint;
    WriteResult(done, result);
    RemoveCheckpoint(job_folder);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace eosin::segment
