// SPDX-License-Identifier: Apache-2.0
// Where a pretraining run stands, and its checkpoints: checkpoints/last (to resume from),
// checkpoints/best (encoder with the best online kNN) and the newest checkpoint.keep numbered ones,
// checkpoints/step-000500, which hold the same as `last`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "engine/training/checkpoint.h"
#include "engine/training/optimizer.h"
#include "pretrain/method.h"

namespace eosin::pretrain {

namespace fs = std::filesystem;

struct RunState {
  int64_t step = 0;         // optimiser steps done
  bool epoch_open = false;  // the epoch's last step is done, its kNN and row are not
  double loss_sum = 0;      // of this epoch
  int64_t loss_count = 0;
  double epoch_loss = 0, best_knn = -1, last_knn = -1;
  int64_t bad_epoch = 0, bad_total = 0;  // images replaced because they do not decode
  int threads = 1;
  bool bf16 = false, tf32 = false;  // what compute.precision came to
  std::string device, data_sha256;
  std::string stain_sha256;    // of the views' stain templates; empty without
  std::string monitor = "{}";  // Monitor::ToJson

  std::string ToJson() const;
};

// Throws WeightsError naming `where` when it is damaged.
RunState ParseRunState(const std::string& json, const std::string& where);

// Networks, momentum targets and optimiser. The checkpoint's state stays for the caller.
engine::Checkpoint Pack(const Method& method, const engine::Optimizer& optimizer,
                        const std::map<std::string, std::string>& metadata);
// Throws WeightsError naming `where` when a part is missing or of another shape.
void Unpack(const engine::Checkpoint& checkpoint, const std::string& where, Method& method,
            engine::Optimizer& optimizer);

class RunCheckpoints {
 public:
  // keep: numbered checkpoints to leave.
  RunCheckpoints(const fs::path& run, int64_t keep);
  const fs::path& last() const { return last_; }
  const fs::path& best() const { return best_; }
  bool HasLast() const { return engine::HasCheckpoint(last_); }

  // `last`, and with keep > 0 and `numbered` also step-<step>; then removes the oldest numbered
  // ones beyond `keep`. A kill at any moment leaves a whole `last`.
  void Save(const engine::Checkpoint& checkpoint, int64_t step, bool numbered) const;
  void SaveBest(const engine::Checkpoint& checkpoint) const;

 private:
  fs::path folder_, last_, best_;
  int64_t keep_;
};

}  // namespace eosin::pretrain
