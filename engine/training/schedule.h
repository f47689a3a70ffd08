// SPDX-License-Identifier: Apache-2.0
// Learning rate by step: linear warm-up, then cosine, poly or constant; the base rate scaled by
// the batch. Torch-free; a rate depends on the step alone, so a resume needs no state.
#pragma once

#include <cstdint>
#include <string>

#include "core/config/option_set.h"

namespace eosin::engine {

struct ScheduleOptions {
  std::string shape = "cosine";  // cosine | poly | constant
  double warmup_epochs = 0;      // linear from 0; never more than a fifth of the run
  double final_share = 0;        // of the peak rate, reached at the end (cosine, poly)
  double power = 0.9;            // poly
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
  ScheduleOptions options_;
  double peak_;
  int64_t warmup_, total_;
};

// BYOL's target momentum: 1 - (1 - base) * (cos(pi * progress) + 1) / 2, progress in [0, 1].
double EmaMomentum(double base, double progress);

}  // namespace eosin::engine
