// SPDX-License-Identifier: Apache-2.0
// Stain facts of images whose pixels the loader does not hold (Payload::kRecords). Taken from the
// source where it knows enough, else measured once from the pixels and kept: about 250 bytes an
// image.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/stain/color_stats.h"
#include "engine/augment/stain_facts.h"
#include "engine/augment/view_sampler.h"
#include "engine/data/image_source.h"

namespace eosin::engine {

class FactsCache {
 public:
  // What the samplers' draws will look at is what is measured. The source must outlive this.
  FactsCache(const ImageSource& source, const std::vector<ViewSampler>& samplers);
  ~FactsCache();

  // Facts that need no pixels any more. Lives as long as the cache; any number of threads may read
  // it. The first call for an image may read it: throws what source.Read throws.
  StainFacts* Of(int64_t index);
  int64_t images_read() const;

 private:
  struct Measured;
  std::unique_ptr<Measured> Measure(int64_t index) const;

  const ImageSource& source_;
  bool needs_row_ = false;
  std::array<bool, core::kStainSpaces> needs_space_{};
  mutable std::mutex mutex_;
  std::unordered_map<int64_t, std::unique_ptr<Measured>> known_;
  int64_t images_read_ = 0;
};

}  // namespace eosin::engine
