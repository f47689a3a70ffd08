// SPDX-License-Identifier: Apache-2.0
// Watches a run and says in plain words when it goes wrong, and what to change. Torch-free: it
// judges the numbers of signals.h. Each finding is said once a run; what was said and what was seen
// travels through checkpoints, so that a resumed run says the same.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace eosin::pretrain {

inline constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

// One row of metrics: signals of one step (signals.h says what they are). NaN: not measured.
struct MonitorSample {
  int64_t step = 0;     // steps done
  double progress = 0;  // share of the run, 0..1
  double loss = 0;
  double feature_spread = 1;
  double grad_norm = 0;
  double data_wait = 0;  // share of the time spent waiting for batches
  double update_share = kNotMeasured, pair_top1 = kNotMeasured, view_distance = kNotMeasured,
         target_momentum = kNotMeasured, loss_ratio = kNotMeasured, negatives_used = kNotMeasured,
         alignment = kNotMeasured, uniformity = kNotMeasured, embedding_rank = kNotMeasured;
};

// Once an epoch.
struct EpochSample {
  int64_t step = 0, epoch = 0;
  double loss = 0;                   // mean of the epoch
  double rank_me = kNotMeasured;     // of the encoder's features
  double dead_share = kNotMeasured;  // of their channels
  int64_t features = 0;              // dimensions
};

struct Finding {
  int64_t step = 0;
  std::string topic;  // collapse, dimensional-collapse, features-collapse, dead-channels,
                      // divergence, rate, views, negatives, temperature, target, leak, starving
  std::string text;   // what is wrong, and what to change
};

class Monitor {
 public:
  // chance_loss: what a blind guess gives.
  explicit Monitor(double chance_loss) : chance_loss_(chance_loss) {}

  // Warnings to print, empty when all is well.
  std::vector<std::string> Look(const MonitorSample& sample);
  // leak: BatchLeak of signals.h.
  std::vector<std::string> LookAtLeak(int64_t step, double leak);
  std::vector<std::string> LookAtEpoch(const EpochSample& sample);
  const std::vector<Finding>& findings() const { return findings_; }

  // All that it remembers. FromJson throws nothing: text of another version leaves it fresh.
  std::string ToJson() const;
  void FromJson(const std::string& json);

 private:
  void LookForCollapse(const MonitorSample& sample);
  // Counts looks in a row at which `bad` held; says `text` once they reach `patience`.
  void Judge(const std::string& topic, bool bad, int patience, int64_t step,
             const std::string& text);

  double chance_loss_;
  int64_t looks_ = 0;
  double first_loss_ = kNotMeasured, first_spread_ = kNotMeasured, first_rank_ = kNotMeasured,
         best_rank_me_ = kNotMeasured;
  std::map<std::string, int> in_a_row_;
  std::vector<Finding> findings_;
  std::vector<std::string> fresh_;  // said in this look
};

// Levels between which a contrastive loss over 2 * batch views moves, for reports: a plateau
// between them is no fault. scale as in Method::Contrast.
struct ContrastLevels {
  double chance = 0;      // ln(2N - 1)
  double orthogonal = 0;  // positives equal, negatives at right angles
};
ContrastLevels LevelsOf(int64_t batch, double temperature, double scale);

// The sentence and hint for a loss or gradient that is no number.
std::string NanMessage(int64_t step, const std::string& what);
std::string NanHint(const std::string& checkpoint, const std::string& capture);

}  // namespace eosin::pretrain
