// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include "engine/kernels/normalize.h"

namespace eosin::engine {
namespace {

// Twelve values a thread: four pixels, read as three words and written as three float4, so that
// every access is full width. The limit is memory: 5 bytes a value.
constexpr int kValues = 12;

__global__ void Normalize(const uint8_t* bytes, int64_t count, NormalizeConstants constants,
                          float* out) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kValues;
  if (first + kValues <= count) {
    const uint32_t* words = reinterpret_cast<const uint32_t*>(bytes + first);
    float4* quads = reinterpret_cast<float4*>(out + first);
    for (int w = 0; w < 3; ++w) {
      const uint32_t word = words[w];
      float values[4];
      for (int b = 0; b < 4; ++b) {
        const auto value = static_cast<uint8_t>(word >> (8 * b));
        values[b] = NormalizeValue(value, (4 * w + b) % 3, constants);
      }
      quads[w] = make_float4(values[0], values[1], values[2], values[3]);
    }
    return;
  }
  for (int64_t i = first; i < count; ++i) {
    out[i] = NormalizeValue(bytes[i], static_cast<int>(i % 3), constants);
  }
}

}  // namespace

int NormalizeCuda(const uint8_t* bytes, int64_t count, const NormalizeConstants& constants,
                  float* out, void* stream) {
  if (count == 0) return 0;
  const int threads = 256;
  const int64_t blocks = (count + int64_t{threads} * kValues - 1) / (int64_t{threads} * kValues);
  Normalize<<<static_cast<unsigned>(blocks), threads, 0, static_cast<cudaStream_t>(stream)>>>(
      bytes, count, constants, out);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace eosin::engine
