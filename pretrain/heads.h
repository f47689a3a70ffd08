// SPDX-License-Identifier: Apache-2.0
// Projectors and predictors: small MLPs with torch's parameter names ("0.weight", "1.running_mean").
#pragma once

#include <cstdint>

#include <torch/nn/modules/container/sequential.h>

namespace eosin::pretrain {

struct HeadOptions {
  int64_t in = 512, hidden = 512, out = 128;
  bool hidden_norm = true;  // BatchNorm after the first linear layer
  bool hidden_bias = true;  // of the first linear layer
  bool out_norm = false;    // BatchNorm after the last linear layer
  bool out_bias = false;
};

// Linear - [BatchNorm] - ReLU - Linear - [BatchNorm].
torch::nn::Sequential MakeHead(const HeadOptions& options);

// torch's default for linear layers, U(-1/sqrt(in), 1/sqrt(in)) for weights and biases, drawn by
// Philox from (seed, head): head numbers tell several heads of one method apart.
void InitHead(torch::nn::Sequential head, uint64_t seed, uint32_t head_number);

}  // namespace eosin::pretrain
