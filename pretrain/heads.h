// SPDX-License-Identifier: Apache-2.0
// Projectors and predictors: small MLPs with torch's parameter names ("0.weight",
// "1.running_mean").
#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/modules/container/sequential.h>

namespace eosin::pretrain {

// BatchNorm after a linear layer.
enum class HeadNorm {
  kNone,
  kAffine,  // gamma and beta
  kScale,   // gamma alone (beta stays 0 and is not trained): google's last layer, center=False
  kPlain    // neither: SimSiam, Barlow Twins
};

// "none", "affine", "scale", "plain". Throws ConfigError on another word.
HeadNorm ParseHeadNorm(const std::string& word);

struct HeadOptions {
  int64_t in = 512, hidden = 512, out = 128;
  int64_t layers = 2;  // linear layers, >= 1; the last one leads to `out`, the others to `hidden`
  HeadNorm hidden_norm = HeadNorm::kAffine;
  bool hidden_bias = true;  // of all linear layers but the last
  HeadNorm out_norm = HeadNorm::kNone;
  bool out_bias = false;
};

// (Linear - [BatchNorm] - ReLU) x (layers - 1) - Linear - [BatchNorm], initialised as torch does,
// drawn by Philox from the seed and `name` ("projector"), which tells the heads of one method
// apart.
torch::nn::Sequential MakeHead(const HeadOptions& options, uint64_t seed, const std::string& name);

}  // namespace eosin::pretrain
