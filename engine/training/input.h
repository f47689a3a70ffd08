// SPDX-License-Identifier: Apache-2.0
// From loader bytes to network input.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

namespace eosin::engine {

// Per channel (R, G, B), on values in 0..1. Default: ImageNet.
struct Normalization {
  std::array<float, 3> mean{0.485f, 0.456f, 0.406f};
  std::array<float, 3> std{0.229f, 0.224f, 0.225f};
  bool operator==(const Normalization&) const = default;
};

// As weight files carry it: "eosin.mean" and "eosin.std", three numbers each.
void AddToMetadata(const Normalization& normalization,
                   std::map<std::string, std::string>* metadata);
// Nothing when the file says nothing (then ImageNet's is the best guess). Throws WeightsError when
// what it says cannot be read.
std::optional<Normalization> NormalizationOf(const std::map<std::string, std::string>& metadata);

// uint8 images (n, size, size, 3) at `nhwc` -> fp32 (n, 3, size, size), channels_last, on `device`:
// (value / 255 - mean) / std. The bytes are no longer needed on return. On CUDA uint8 travels from
// pinned memory and the arithmetic runs there.
at::Tensor ToInput(const uint8_t* nhwc, int64_t n, int64_t size, c10::Device device,
                   const Normalization& normalization);

}  // namespace eosin::engine
