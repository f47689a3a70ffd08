// SPDX-License-Identifier: Apache-2.0
// Where a segmentation run stands, and its one checkpoint, RUN/checkpoints/last: network,
// optimiser, best state so far and this. It appears whole or not at all, at every validation, at
// train.checkpoint_every and on SIGINT; a run continues from it bit for bit. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "segment/train/result.h"

namespace eosin::segment {

struct TrainState {
  std::string fingerprint;  // of options, images and masks
  int64_t step = 0;         // optimiser steps done
  int64_t validated = 0;    // the step of the last validation
  double loss_sum = 0.0;    // since that validation
  int64_t loss_count = 0;
  double best = -1.0;  // validation score of the best state; below 0: all were n/a
  int64_t best_step = 0;
  int64_t worse = 0;  // validations since then
  std::vector<CurvePoint> curve;
  double weights_matched = 0.0;
  // What bits depend on besides the options.
  int threads = 1;
  bool bf16 = false, tf32 = false;
  std::string device;

  // Takes in a validation of the present step: mean Dice, NaN = n/a. True when its state is the one
  // to keep: the first of the highest score, or while all are n/a the last one. An n/a is never
  // better than what was before, and never replaces a score.
  bool Judge(double score);

  std::string ToJson() const;
};

// Throws WeightsError naming `where` when it is damaged.
TrainState ParseTrainState(const std::string& json, const std::string& where);

std::filesystem::path CheckpointFolder(const std::filesystem::path& run);

// True when a run was killed and can be continued.
bool HasTrainState(const std::filesystem::path& run);

// A run's checkpoint is of no use once its result is written. Goes out of sight at once: a kill
// leaves no half of it to continue from.
void RemoveCheckpoint(const std::filesystem::path& run);

}  // namespace eosin::segment
