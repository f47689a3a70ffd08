// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3" (SC 2011), and a stream of draws keyed by what is drawn for. Draws depend on the key
// alone: not on threads, batch shape or restarts. C++17, host and device.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#if defined(__CUDACC__)
#define EOSIN_HOST_DEVICE __host__ __device__
#else
#define EOSIN_HOST_DEVICE
#endif

namespace eosin::core {

struct Philox4 {
  uint32_t v[4];
};

EOSIN_HOST_DEVICE inline Philox4 Philox4x32(Philox4 counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.v[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.v[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.v[1] ^ key0,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.v[3] ^ key1,
                static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// What a stream of draws is for. New purposes are appended; numbers are part of reproducibility.
enum class DrawPurpose : uint32_t {
  kView = 0,       // augmentation parameters of one view
  kOrder = 1,      // epoch order
  kInit = 2,       // network initialisation
  kSplit = 3,      // patient splits and label subsets
  kBootstrap = 4,  // resampling in statistics
  kSynth = 5,      // synthetic slides
  kDropout = 6,    // dropout and other draws inside a step
  kTest = 7,
  kNeighbour = 8,  // which neighbouring tile a sample is paired with
  kAnalysis = 9    // draws of analyses: subsets, k-means, projections
};

// A stream of random numbers for (seed, purpose, epoch, sample, view). Cheap to make; copyable.
class PhiloxStream {
 public:
  EOSIN_HOST_DEVICE PhiloxStream(uint64_t seed, DrawPurpose purpose, uint32_t epoch,
                                 uint32_t sample, uint32_t view = 0)
      : key0_(static_cast<uint32_t>(seed)),
        key1_(static_cast<uint32_t>(seed >> 32)),
        counter_{{0, (static_cast<uint32_t>(purpose) << 24) | view, sample, epoch}} {}

  EOSIN_HOST_DEVICE uint32_t Next() {
    if (used_ == 4) {
      block_ = Philox4x32(counter_, key0_, key1_);
      ++counter_.v[0];
      used_ = 0;
    }
    return block_.v[used_++];
  }
  // Uniform in [0, 1) with 24 bits.
  EOSIN_HOST_DEVICE float Uniform() { return static_cast<float>(Next() >> 8) * 0x1p-24f; }
  EOSIN_HOST_DEVICE float Uniform(float low, float high) { return low + (high - low) * Uniform(); }
  EOSIN_HOST_DEVICE bool Bernoulli(float p) { return Uniform() < p; }
  // Uniform in [0, n), n > 0. Multiply-shift; its bias is below n / 2^32.
  EOSIN_HOST_DEVICE uint32_t Below(uint32_t n) {
    return static_cast<uint32_t>((uint64_t{Next()} * n) >> 32);
  }
  // Standard normal by Box-Muller; two uniforms a draw.
  EOSIN_HOST_DEVICE float Normal() {
    const float u = 1.0f - Uniform();
    const float angle = 6.283185307179586f * Uniform();
    return std::sqrt(-2.0f * std::log(u)) * std::cos(angle);
  }

 private:
  uint32_t key0_, key1_;
  Philox4 counter_;
  Philox4 block_{};
  int used_ = 4;
};

// Fisher-Yates over any random-access container.
template <typename Container>
void Shuffle(Container& items, PhiloxStream stream) {
  for (uint32_t i = static_cast<uint32_t>(items.size()); i > 1; --i) {
    std::swap(items[i - 1], items[stream.Below(i)]);
  }
}

}  // namespace eosin::core
