// SPDX-License-Identifier: Apache-2.0
// Projectors and predictors: small MLPs with torch's parameter names ("0.weight",
// "1.running_mean").
#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/modules/container/sequential.h>

namespace eosin::pretrain {

struct HeadOptions {
  int64_t in = 512, hidden = 512, out = 128;
  bool hidden_norm = true;  // BatchNorm after the first linear layer
  bool hidden_bias = true;  // of the first linear layer
  bool out_norm = false;    // BatchNorm after the last linear layer
  bool out_bias = false;
};

// Linear - [BatchNorm] - ReLU - Linear - [BatchNorm], initialised as torch does, drawn by Philox
// from the seed and `name` ("projector"), which tells the heads of one method apart.
torch::nn::Sequential MakeHead(const HeadOptions& options, uint64_t seed, const std::string& name);

}  // namespace eosin::pretrain
