// SPDX-License-Identifier: Apache-2.0
// Watches a run and says in plain words when it goes wrong: collapse, divergence, a starving
// loader. Torch-free. Each warning comes once a run.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace eosin::pretrain {

// What was measured since the last look.
struct MonitorSample {
  int64_t step = 0;     // steps done
  double progress = 0;  // share of the run, 0..1
  double loss = 0;
  double feature_spread = 1;  // std of the embedding's channels times sqrt(dimensions): ~1 healthy
  double grad_norm = 0;
  double data_wait = 0;  // share of the time spent waiting for batches
};

class Monitor {
 public:
  // chance_loss: what a blind guess gives.
  explicit Monitor(double chance_loss) : chance_loss_(chance_loss) {}

  // Warnings to print, empty when all is well.
  std::vector<std::string> Look(const MonitorSample& sample);

 private:
  double chance_loss_;
  int looks_ = 0, starving_ = 0, collapsed_ = 0, diverging_ = 0;
  std::set<std::string> said_;
};

// The sentence and hint for a loss that is no number.
std::string NanMessage(int64_t step);
std::string NanHint(const std::string& checkpoint);

}  // namespace eosin::pretrain
