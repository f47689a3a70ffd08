// SPDX-License-Identifier: Apache-2.0
// Keeps the step at which a loss or gradient stopped being a number, and runs it again.
//
// RUN/nan: batch.safetensors (group0, group1, ...: the input as the network saw it, fp32; indices
// and labels of the images, int64; records: the views' parameters, a row of bytes each, where the
// images have one size), one file a part of the network and the optimiser as in a
// checkpoint: the state before this batch; state.json: step, epoch, micro_batch, seed. The views'
// draws follow from seed, epoch, image and view alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/data/view_feed.h"
#include "engine/training/optimizer.h"
#include "pretrain/method.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

struct NanPlace {
  int64_t step = 0, epoch = 0, micro_batch = 0;  // steps done before this one
  uint64_t seed = 0;
};

class NanCapture {
 public:
  // Remembers the buffers, which a forward pass changes; weights change only afterwards. method may
  // be null: then nothing is kept and Write must not be called.
  explicit NanCapture(Method* method);

  void Restore() const;  // the buffers

  // Puts the buffers back and writes the folder anew.
  // records: (views x images) as the loader drew them, or empty.
  void Write(const std::filesystem::path& folder, const engine::ViewBatch& batch,
             const std::vector<engine::ViewParams>& records, const engine::Optimizer& optimizer,
             const std::map<std::string, std::string>& metadata, const NanPlace& place) const;

 private:
  Method* method_;
  std::vector<at::Tensor> buffers_;
};

struct NanReport {
  std::vector<std::string> lines;  // what was looked at, in order of computation
  std::string first;  // where the first value that is no number appears; empty: nowhere
};

// Repeats the step that `folder` holds: inputs, weights, the encoder stage by stage, embedding,
// loss, gradients part by part. Throws WeightsError when it is damaged.
NanReport ReplayNan(const PretrainOptions& options, const std::filesystem::path& folder);

}  // namespace eosin::pretrain
