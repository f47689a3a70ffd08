// SPDX-License-Identifier: Apache-2.0
// The training run inside RunPretrain (trainer.h); nothing else includes this. training.cc sets it
// up and steps, training_epoch.cc measures, ends epochs, saves and loads.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/view_feed.h"
#include "pretrain/learner.h"
#include "pretrain/monitor.h"
#include "pretrain/online_knn.h"
#include "pretrain/run_state.h"
#include "pretrain/signals.h"
#include "pretrain/trainer.h"

namespace eosin::pretrain {

// CUDA only, where not every step is looked at: a loss or gradient was found to be no number at
// this step or before it.
struct NonFiniteSeen {
  int64_t step;
};

class Training {
 public:
  // resume: from checkpoints/last, when there is one.
  Training(const PretrainOptions& options, const engine::ImageSource& source,
           engine::RunFolder& run, const StepHook& hook, bool resume);
  // check_until: look at every step up to this one, whatever the device.
  PretrainResult Run(int64_t check_until);

 private:
  using Clock = std::chrono::steady_clock;

  void Train();
  void Step();
  bool LooksAt(int64_t step) const {
    return step % options_.log_every == 0 || step % per_epoch_ == 0 || step == total_;
  }
  bool AtEpochEnd() const { return done() % per_epoch_ == 0 || done() == total_; }
  void Look();
  void FinishEpoch();
  void FinishEpochOrLeave();  // an interrupt meanwhile: saves the epoch as open, LeaveInterrupted
  bool NumberedIsDue() const {
    const int64_t every = options_.checkpoint_every > 0 ? options_.checkpoint_every : per_epoch_;
    return done() % every == 0 || done() == total_;
  }
  void Save(bool epoch_open, bool numbered);
  void Load();
  void CheckFinite();
  void WriteEncoder();
  [[noreturn]] void LeaveInterrupted();
  void Say(const std::vector<std::string>& warnings);
  int64_t done() const { return state_.step; }
  int64_t epoch() const { return (done() - 1) / per_epoch_; }  // of the last step
  double Share(int64_t step) const {
    return static_cast<double>(step) / static_cast<double>(total_);
  }

  std::vector<engine::ViewParams> RecordsOf(int64_t epoch, int64_t batch_step) const;

  const PretrainOptions options_;
  const engine::ImageSource& source_;
  engine::RunFolder& run_;
  const StepHook& hook_;
  const RunCheckpoints checkpoints_;
  struct Resumed {
    engine::Checkpoint checkpoint;
    RunState state;
  };
  std::optional<Resumed> resumed_;  // what a resume starts from, until Load
  engine::Compute compute_;
  engine::Normalization normalization_;
  int workers_;
  engine::LoaderOptions loading_;
  std::unique_ptr<engine::ViewFeed> feed_;
  Learner learner_;
  std::unique_ptr<engine::LrSchedule> schedule_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<StepSignals> signals_;
  std::unique_ptr<engine::MetricsLog> metrics_;
  KnnSplit knn_split_;

  RunState state_;
  int64_t total_ = 0, per_epoch_ = 0;  // steps
  int64_t check_until_ = 0;
  at::Tensor loss_sum_;                  // of this epoch, double, on the device: no sync a step
  int64_t bad_before_ = 0;               // of the feed's count, in earlier epochs
  std::vector<at::Tensor> last_groups_;  // of the last micro-batch, at a look
  Clock::time_point interval_start_;
  int64_t interval_step_ = 0;
  double interval_wait_ = 0;
};

}  // namespace eosin::pretrain
