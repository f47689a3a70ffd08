// SPDX-License-Identifier: Apache-2.0
#include "segment/study/run/job_board.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"

namespace eosin::segment {
namespace {

// Added to the run seed of the control arm: other heads, order and augmentation.
constexpr int64_t kControlSeed = 1'000'000;

double BestValidation(const SegmentResult& result) {
  double best = 0;
  for (const CurvePoint& point : result.curve) {
    if (!std::isnan(point.val_dice)) best = std::max(best, point.val_dice);
  }
  return best;
}

}  // namespace

JobBoard::JobBoard(const StudyOptions& options, const MaskDataset& data, const StudyPlan& plan,
                   std::filesystem::path folder)
    : options_(options),
      data_(data),
      plan_(plan),
      folder_(std::move(folder)),
      results_(plan.jobs.size()) {
  core::MakeFolder(folder_ / "runs");
  core::MakeFolder(folder_ / "locks");
}

std::vector<TunedRate> JobBoard::Tuned() const {
  std::vector<TunedRate> all;
  for (size_t i = 0; i < plan_.jobs.size(); ++i) {
    const Job& job = plan_.jobs[i];
    if (job.role != JobRole::kTune || !results_[i]) continue;
    auto place = std::find_if(all.begin(), all.end(), [&](const TunedRate& tuned) {
      return tuned.arm == job.arm.name && tuned.fold == job.fold;
    });
    if (place == all.end()) {
      all.emplace_back();
      place = std::prev(all.end());
      place->arm = job.arm.name;
      place->fold = job.fold;
    }
    place->rates.push_back(job.lr);
    place->scores.push_back(BestValidation(*results_[i]));
  }
  std::erase_if(all,
                [&](const TunedRate& tuned) { return tuned.rates.size() != options_.tune.size(); });
  for (TunedRate& tuned : all) {
    const auto best = std::max_element(tuned.scores.begin(), tuned.scores.end());
    tuned.chosen = tuned.rates[static_cast<size_t>(best - tuned.scores.begin())];
  }
  return all;
}

std::optional<double> JobBoard::RateOf(const Job& job) const {
  if (job.role == JobRole::kTune) return job.lr;
  if (options_.tune.empty()) return options_.segment.optimizer.lr;
  const std::string arm = job.arm.control() ? "random" : job.arm.name;
  for (const TunedRate& tuned : Tuned()) {
    if (tuned.arm == arm && tuned.fold == job.fold) return tuned.chosen;
  }
  return std::nullopt;
}

SegmentOptions JobBoard::OptionsOf(const Job& job) const {
  SegmentOptions options = options_.segment;
  options.init = job.arm.init;
  options.freeze = job.arm.freeze;
  options.backbone_lr = job.arm.backbone_lr;
  options.optimizer.lr = RateOf(job).value_or(options.optimizer.lr);
  options.steps = job.steps;
  options.seed = job.seed + (job.arm.control() ? kControlSeed : 0);
  if (job.role != JobRole::kMain) options.keep_predictions = 0;
  return options;
}

ImageSplit JobBoard::SplitOf(const Job& job) const {
  ImageSplit split = plan_.splits[static_cast<size_t>(job.fold)];
  split.train = job.train;
  if (job.role == JobRole::kTune) split.test.clear();
  return split;
}

std::string JobBoard::WeightsHash(const std::string& path) const {
  auto place = weights_hashes_.find(path);
  if (place == weights_hashes_.end()) {
    place = weights_hashes_.emplace(path, core::Sha256File(path)).first;
  }
  return place->second;
}

std::string JobBoard::Fingerprint(const Job& job) const {
  SegmentOptions recipe = OptionsOf(job);
  // What changes no result, or is hashed by content below.
  recipe.workers = 0;
  recipe.keep_predictions = 0;
  recipe.compute.threads = 0;
  recipe.data.data = recipe.data.images = recipe.data.masks = recipe.data.groups = "";
  recipe.data.in_memory = false;
  if (recipe.init != "random") recipe.init = WeightsHash(recipe.init);
  core::OptionSet set;
  recipe.Bind(set);
  core::Sha256 hash;
  hash.Update(set.Values());
  const auto& hashes = data_.FileHashes(options_.segment.Workers());
  auto part = [&](const std::string& name, const std::vector<int64_t>& indices) {
    hash.Update(name + "\n");
    for (const int64_t i : indices) {
      const MaskItem& item = data_.item(i);
      const auto& content = hashes[static_cast<size_t>(i)];
      hash.Update(
          fmt::format("{} {} {} {}\n", item.name, item.patient, content.image, content.mask));
    }
  };
  const ImageSplit split = SplitOf(job);
  part("train", split.train);
  part("val", split.val);
  part("test", split.test);
  return hash.Hex();
}

bool JobBoard::Read(size_t index) {
  if (results_[index]) return false;
  const Job& job = plan_.jobs[index];
  const auto path = FolderOf(job) / "result.json";
  if (!std::filesystem::exists(path)) return false;
  SegmentResult result = ReadResult(path);
  if (!RateOf(job)) return false;  // its tuning is gone: known again when that is made again
  if (result.fingerprint != Fingerprint(job)) {
    throw core::ConfigError(
        fmt::format("{} was made with other settings, data or weights", path.string()),
        "give another --out folder, or the settings in that folder's config.toml");
  }
  results_[index] = std::move(result);
  ++done_;
  return true;
}

bool JobBoard::Refresh() {
  bool changed = false;
  for (size_t i = 0; i < results_.size(); ++i) changed = Read(i) || changed;
  return changed;
}

std::optional<JobBoard::Taken> JobBoard::Take() {
  for (size_t i = 0; i < plan_.jobs.size(); ++i) {
    const Job& job = plan_.jobs[i];
    if (results_[i] || !RateOf(job)) continue;
    auto lock = core::FileLock::Try(folder_ / "locks" / (job.name + ".lock"));
    if (!lock) continue;
    if (Read(i)) continue;  // done by another process between the look and the lock
    return Taken{i, std::move(*lock)};
  }
  return std::nullopt;
}

void JobBoard::Finish(size_t index, SegmentResult result) {
  const Job& job = plan_.jobs[index];
  result.fingerprint = Fingerprint(job);
  WriteResult(FolderOf(job) / "result.json", result);
  if (!results_[index]) ++done_;
  results_[index] = std::move(result);
}

}  // namespace eosin::segment
