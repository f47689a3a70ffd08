// SPDX-License-Identifier: Apache-2.0
// What a training step needs of memory, said before the first one; and which batch would fit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "engine/data/image_source.h"
#include "engine/training/device.h"
#include "pretrain/method.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

// Bytes.
struct MemoryEstimate {
  int64_t weights = 0, gradients = 0, optimizer = 0;
  // Kept from the forward pass for the backward pass, for the whole batch: "stem", "layer1", ...
  std::vector<std::pair<std::string, int64_t>> activations;
  int64_t work = 0;    // largest tensors that come and go during the backward pass
  int64_t loader = 0;  // ring of uint8 views, in main memory
  // What is free: of the GPU's memory, or of main memory (cgroup limits respected). 0: unknown.
  int64_t available = 0;
  bool on_gpu = false;

  // Bytes that grow with the batch, of the device's memory.
  int64_t PerBatch() const;
  // Of the device's memory: on a CPU the loader's ring too.
  int64_t Total() const;
  std::string Describe() const;  // one line
};

// Counts what the ResNet's layers keep: the convolutions' inputs and outputs, in the run's
// precision. Heads and momentum targets are counted with the weights; their activations are small.
MemoryEstimate EstimateMemory(const PretrainOptions& options, const Method& method,
                              const engine::Compute& compute);

// Throws MachineError "batch 512 does not fit ... the largest that fits is 384" when the estimate
// is above what a CPU has free. A GPU is asked by trying (TooLarge): its libraries' work space is
// not known beforehand.
void RequireMemory(const MemoryEstimate& estimate, int64_t batch);

// The largest batch in [least, failed) for which `fits` holds, by bisection; 0 when not even
// `least` does. Calls fits about log2(failed) times; assumes that what fits stays fitting below.
int64_t LargestBatch(int64_t least, int64_t failed, const std::function<bool(int64_t)>& fits);

// After the device ran out of memory at options.batch: tries forward and backward passes of smaller
// batches on it, beside as much memory as the images of `source` take there, and says which is the
// largest that fits.
core::MachineError TooLarge(const PretrainOptions& options, const engine::ImageSource& source);

}  // namespace eosin::pretrain
