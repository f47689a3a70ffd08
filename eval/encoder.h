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
  // Where it comes from: "file", "assumed ImageNet", or "eval.normalization".
  std::string normalization_from = "assumed ImageNet";
};

// What eval.normalization says: "auto" and "imagenet" are ImageNet's, "none" leaves values in 0..1,
// and "m,m,m,s,s,s" is mean and deviation of R, G, B in 0..1. ConfigError, naming `key`, for
// anything else.
engine::Normalization ParseNormalization(const std::string& text,
                                         const std::string& key = "eval.normalization");

// A weights file of any dialect, or a folder of `eosin pretrain` (its encoder.safetensors). The
// architecture comes from the tensors. `normalization` (ParseNormalization) is for files that do
// not say how their input was normalised; what a file says goes before it. Throws WeightsError.
Encoder OpenEncoder(const std::filesystem::path& path, const std::string& name = "",
                    const std::string& normalization = "auto");
// The same architecture, initialised from `seed`.
Encoder RandomEncoderLike(const Encoder& other, uint64_t seed);

// SHA-256 over names, shapes and bytes of all parameters and buffers: equal before and after a
// "frozen" evaluation, or the evaluation is void.
std::string Fingerprint(const torch::nn::Module& net);

}  // namespace eosin::eval
