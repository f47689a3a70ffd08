// SPDX-License-Identifier: Apache-2.0
// An encoder to judge: network, how its input is normalised, and a fingerprint that proves it was
// not changed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/models/resnet.h"
#include "engine/training/input.h"

namespace eosin::eval {

struct Encoder {
  std::string name;    // for tables
  std::string source;  // file, or "random, seed 0"
  engine::ResNet net{nullptr};
  engine::Normalization normalization;
};

// A weights file of any dialect, or a folder of `eosin pretrain` (its encoder.safetensors). The
// architecture comes from the tensors. Throws WeightsError.
Encoder OpenEncoder(const std::filesystem::path& path, const std::string& name = "");
// The same architecture, initialised from `seed`.
Encoder RandomEncoderLike(const Encoder& other, uint64_t seed);

// SHA-256 over names, shapes and bytes of all parameters and buffers: equal before and after a
// "frozen" evaluation, or the evaluation is void.
std::string Fingerprint(const torch::nn::Module& net);

}  // namespace eosin::eval
