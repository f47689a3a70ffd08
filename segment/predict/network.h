// SPDX-License-Identifier: Apache-2.0
// What whole-slide prediction asks of a network: bytes in, probabilities out. Torch-free, so that
// everything around the network is tested with made functions; segment/model/trained_model.h gives
// the real one.
#pragma once

#include <cstdint>
#include <functional>

namespace eosin::segment {

// Probability 1. Fixed point, because sums of whole numbers do not depend on their order: the same
// map comes out at any number of threads, and a blended constant stays that constant.
inline constexpr int kOneProbability = 32767;

// images: (count, side, side, 3) uint8 RGB. Fills probabilities (count, classes, side, side) in
// units of 1 / kOneProbability, 0 to kOneProbability each. Called by one thread at a time.
using Network = std::function<void(const uint8_t* images, int64_t count, uint16_t* probabilities)>;

}  // namespace eosin::segment
