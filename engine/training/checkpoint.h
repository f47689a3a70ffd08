// SPDX-License-Identifier: Apache-2.0
// Training state on disk: one folder, one safetensors file a part (model, optimizer, ema, ...) and
// state.json. A checkpoint appears whole or not at all, and the previous one stays until then.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "core/formats/state_dict.h"

#include <ATen/core/Tensor.h>

namespace eosin::engine {

struct Checkpoint {
  std::map<std::string, core::StateDict> tensors;  // by part: "model", "optimizer", ...
  std::map<std::string, std::string> metadata;     // in every part's file
  std::string state = "{}";                        // JSON: step, epoch, ...
};

// Writes `<folder>.part`, then replaces `folder`. Throws MachineError.
void SaveCheckpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint);

// True when there is one to load; finishes a replacement that was cut short.
bool HasCheckpoint(const std::filesystem::path& folder);

// Throws WeightsError when it is missing or damaged.
Checkpoint LoadCheckpoint(const std::filesystem::path& folder);

// A tensor of any device and float type as fp32, for a part of a checkpoint.
core::TensorBlob FloatBlob(std::string name, const at::Tensor& tensor);

}  // namespace eosin::engine
