// SPDX-License-Identifier: Apache-2.0
// uint8 RGB to normalised network input in one pass. A channels_last NCHW tensor has the memory
// order of NHWC bytes, so the operation is element by element with the channel = index mod 3.
// The arithmetic is one function for host and device; C++17.
#pragma once

#include <cstdint>

#include "core/base/philox.h"

namespace eosin::engine {

// out = value * scale + shift, per channel: scale = 1 / (255 std), shift = -mean / std.
struct NormalizeConstants {
  float scale[3];
  float shift[3];
};

inline NormalizeConstants MakeNormalizeConstants(const float* mean, const float* std) {
  NormalizeConstants constants{};
  for (int c = 0; c < 3; ++c) {
    constants.scale[c] = 1.0f / (255.0f * std[c]);
    constants.shift[c] = -mean[c] / std[c];
  }
  return constants;
}

EOSIN_HOST_DEVICE inline float NormalizeValue(uint8_t value, int channel,
                                              const NormalizeConstants& constants) {
  return static_cast<float>(value) * constants.scale[channel] + constants.shift[channel];
}

// `count` values (a multiple of 3) of device memory, on the stream `stream` (a cudaStream_t).
// Returns cudaSuccess (0) or the launch error. Defined in CUDA builds only.
int NormalizeCuda(const uint8_t* bytes, int64_t count, const NormalizeConstants& constants,
                  float* out, void* stream);

}  // namespace eosin::engine
