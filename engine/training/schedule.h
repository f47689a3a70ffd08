// SPDX-License-Identifier: Apache-2.0
// Learning rate by step: linear warm-up, then cosine, poly or constant, or one cycle; the base
// rate scaled by the batch. Torch-free; a rate depends on the step alone, so a resume needs no
// state.
#pragma once

#include <cstdint>
#include <string>

#include "core/config/option_set.h"

namespace eosin::engine {

// How the rise and the cosine are counted, s the step, w warm-up steps, n all steps; the rise goes
// from warmup_start_lr to the peak by the share
//   eosin    (s + 1) / (w + 1); then the cosine of (s - w) / (n - w)
//   google   s / w            ; the same cosine (google-research/simclr, deepmind-research/byol)
//   lightly  (s + 1) / w      ; the cosine of (s - w) / (n - w - 1): the last step has the end rate
//                               (lightly/utils/scheduler.py)
//   solo     s / (w - 1)      ; google's cosine (solo/utils/lr_scheduler.py, after bolts)
//
// one-cycle (Smith & Topin, 2017) is torch's OneCycleLR with its defaults and cycle_momentum =
// False: from a 25th of the peak to the peak over 30 % of the steps, then down to a 10,000th of
// where it started, both along a cosine. It has no other warm-up; dialect and final_share mean
// nothing to it.
struct ScheduleOptions {
  std::string shape = "cosine";  // cosine | poly | constant | one-cycle
  std::string dialect = "eosin";
  double warmup_epochs = 0;      // linear; never more than a fifth of the run
  double warmup_start_lr = 0;    // not scaled by the batch; solo-learn has 3e-5
  double final_share = 0;        // of the peak rate, reached at the end (cosine, poly)
  double power = 0.9;            // poly
  bool per_epoch = false;        // the rate of an epoch's first step for the whole epoch
  std::string scale = "linear";  // linear: lr * batch / 256 | sqrt: lr * sqrt(batch) | none

  void Bind(core::OptionSet& set, const std::string& prefix = "schedule");
};

// The peak rate. sqrt is SimCLR's: its 0.075 equals linear 0.3 at batch 4096.
double ScaledLr(double lr, const std::string& scale, int64_t batch);

class LrSchedule {
 public:
  LrSchedule(const ScheduleOptions& options, double peak, int64_t steps_per_epoch,
             int64_t total_steps);
  // Rate of step 0, 1, ... total_steps - 1.
  double At(int64_t step) const;

 private:
  double OneCycle(int64_t step) const;

  ScheduleOptions options_;
  double peak_;
  int64_t steps_per_epoch_, warmup_, total_;
};

// BYOL's target momentum: 1 - (1 - base) * (cos(pi * progress) + 1) / 2, progress in [0, 1].
double EmaMomentum(double base, double progress);

}  // namespace eosin::engine
