// SPDX-License-Identifier: Apache-2.0
// Runs a pretraining: data in, encoder out, everything about it in the run folder. On a CPU the
// result is bitwise the same for equal options and threads, whatever the number of workers and
// however often the run was interrupted, killed and resumed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "engine/data/image_source.h"
#include "engine/training/run_folder.h"
#include "pretrain/monitor.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

struct PretrainResult {
  bool was_finished = false;      // a resume found nothing to do; the rest is empty
  int64_t steps = 0;              // optimiser steps in all, earlier processes included
  double loss = 0;                // mean of the last epoch
  std::optional<double> knn;      // last online kNN accuracy, 0..1
  int64_t bad_images = 0;         // times an image that does not decode was replaced by another
  std::vector<Finding> findings;  // what the monitor said, in order
};

// Called after each step with the number of steps done; true interrupts like SIGINT does.
using StepHook = std::function<bool(int64_t steps)>;

// Trains, or with `resume` continues from checkpoints/last (from the start when there is none).
// Leaves encoder.safetensors and encoder.pth (torchvision's names) and checkpoints/{last,best};
// best is by kNN where there are labels. SIGINT ends the step, saves and throws InterruptedError.
// Throws ConfigError when a step is larger than the data, MachineError when it needs more memory
// than there is (naming the largest batch that fits), DataError when the loss or a gradient is no
// number: the batch and the state before that step are then in RUN/nan (nan_capture.h).
PretrainResult RunPretrain(const PretrainOptions& options, const engine::ImageSource& source,
                           engine::RunFolder& run, bool resume, const StepHook& hook = {});

}  // namespace eosin::pretrain
