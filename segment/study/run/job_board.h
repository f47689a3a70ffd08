// SPDX-License-Identifier: Apache-2.0
// Which jobs of a study are done, which may start, and what they start with. The board is the
// folder itself: a job is done when runs/<name>/result.json is there, and taken while somebody
// holds locks/<name>.lock. So any number of processes share a study, and nothing is lost whenever
// one of them is killed. Torch-free.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/lock.h"
#include "segment/data/mask_dataset.h"
#include "segment/study/plan/plan.h"
#include "segment/train/result.h"

namespace eosin::segment {

// What the tuning of one arm in one fold came to.
struct TunedRate {
  std::string arm;
  int64_t fold = 0;
  std::vector<double> rates, scores;  // best validation Dice of each rate; 0 where n/a
  double chosen = 0;                  // the best; the lower of two equal ones
};

class JobBoard {
 public:
  // All outlive the board.
  JobBoard(const StudyOptions& options, const MaskDataset& data, const StudyPlan& plan,
           std::filesystem::path folder);

  // Reads results that appeared since the last call; true when there were any. Throws ConfigError
  // when one was made with other settings, data or weights.
  bool Refresh();

  size_t size() const { return plan_.jobs.size(); }
  size_t done_count() const { return done_; }
  bool complete() const { return done_ == size(); }
  // In the order of plan.jobs; nothing where a job is not done.
  const std::vector<std::optional<SegmentResult>>& results() const { return results_; }

  // The next job that is not done, not taken and whose rate is known, with the lock on it; nothing
  // when there is none at the moment. A job that was done meanwhile is read and passed over.
  struct Taken {
    size_t index;
    core::FileLock lock;
  };
  std::optional<Taken> Take();

  // The options of a job: the study's recipe with the arm's init, freeze and rates, the job's steps
  // and the run seed. Equal seeds give equal label subsets, head initialisation, order and
  // augmentation in every arm, but for the control arm, which has other heads.
  SegmentOptions OptionsOf(const Job& job) const;
  // The images of a job; tuning has no test images.
  ImageSplit SplitOf(const Job& job) const;
  std::filesystem::path FolderOf(const Job& job) const { return folder_ / "runs" / job.name; }
  // Stores the result of a job that this process has taken.
  void Finish(size_t index, SegmentResult result);

  // Of all arms and folds whose tuning is done; empty without study.tune.
  std::vector<TunedRate> Tuned() const;

 private:
  std::string Fingerprint(const Job& job) const;
  std::string WeightsHash(const std::string& path) const;
  // The learning rate of a main job; nothing while its tuning is not done.
  std::optional<double> RateOf(const Job& job) const;
  bool Read(size_t index);

  const StudyOptions& options_;
  const MaskDataset& data_;
  const StudyPlan& plan_;
  const std::filesystem::path folder_;
  std::vector<std::optional<SegmentResult>> results_;
  size_t done_ = 0;
  mutable std::map<std::string, std::string> weights_hashes_;
};

}  // namespace eosin::segment
