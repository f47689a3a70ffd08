// SPDX-License-Identifier: Apache-2.0
// Initialisation by counter-based draws: every parameter depends on (seed, its full name) alone,
// not on other modules, threads or the global generator.
#pragma once

#include <cstdint>
#include <string>

#include <torch/nn/module.h>

namespace eosin::engine {

enum class ConvInit {
  kDefault,         // PyTorch's: uniform +-1/sqrt(fan_in), bias alike
  kKaimingFanOut,   // torchvision's ResNet: normal, std = sqrt(2 / (out_channels * kh * kw))
  kKaimingUniform,  // uniform +-sqrt(6 / fan_in), bias 0 (segmentation_models.pytorch's decoders)
  kXavierUniform    // uniform +-sqrt(6 / (fan_in + fan_out)), bias 0 (its last convolutions)
};

// Initialises all Conv2d (as told), Linear (PyTorch's default) and BatchNorm (weight 1, bias 0,
// mean 0, variance 1, count 0) below `module`. `prefix` goes before the names in the draws' key:
// give two heads different prefixes and they differ.
void InitModule(torch::nn::Module& module, uint64_t seed, ConvInit conv_init,
                const std::string& prefix = "");

// Converts 4-d parameters to channels_last in place (values and identity are kept).
void ToChannelsLast(torch::nn::Module& module);

}  // namespace eosin::engine
