// SPDX-License-Identifier: Apache-2.0
// Where the images and the making of views are on a GPU run: the choice alone, no GPU needed.
#pragma once

#include <cstdint>
#include <string>

namespace eosin::engine {

enum class Placement : uint8_t { kResident, kStreamed, kHost };

struct PlacementFacts {
  int64_t images = 0;
  int width = 0, height = 0;            // of every image; 0: sizes differ
  int64_t largest_view = 0;             // pixels a side
  int64_t gpu_free = 0, gpu_total = 0;  // bytes
  int64_t set_bytes() const { return int64_t{3} * images * width * height; }
};

// wanted: auto | resident | streamed | host. resident_share: auto keeps a set on the GPU that takes
// at most this share of its memory (and half of what is free). ConfigError for a placement that
// cannot serve the set, MachineError for a resident set that leaves less than a tenth of the GPU's
// memory free.
Placement ChoosePlacement(const std::string& wanted, double resident_share,
                          const PlacementFacts& facts);

// ConfigError unless it is one of the four words.
void CheckPlacement(const std::string& wanted);

}  // namespace eosin::engine
