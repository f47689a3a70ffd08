// SPDX-License-Identifier: Apache-2.0
// In which order an epoch takes the images of a set. Pure: depends on the seed and the epoch, not
// on what ran before.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/data/image_source.h"

namespace eosin::engine {

// A permutation of 0..size-1 keyed by (seed, epoch). size < 2^32.
std::vector<int64_t> EpochOrder(int64_t size, uint64_t seed, int64_t epoch);

// The same for a source: source.size() indices. Of a weighted mix each set gives its share of them
// (weights, rounded by largest remainder), taken where the last epoch ended from an endless row of
// permutations of the set: no image comes again before all others of its set have. The shares are
// then shuffled together.
std::vector<int64_t> EpochOrder(const ImageSource& source, uint64_t seed, int64_t epoch);

// How many samples of `total` each set gives; a set without images gives none. Weights > 0.
std::vector<int64_t> MixShares(int64_t total, const std::vector<double>& weights,
                               const std::vector<int64_t>& sizes);

// For each place of the order, how often its image came before; empty when no image comes twice.
std::vector<uint32_t> RepeatCounts(const std::vector<int64_t>& order, int64_t size);

}  // namespace eosin::engine
