// SPDX-License-Identifier: Apache-2.0
#include "engine/data/facts_cache.h"

#include <cmath>
#include <optional>
#include <string>

namespace eosin::engine {

// The facts refer to the image, which is emptied once everything is measured.
struct FactsCache::Measured {
  Measured(core::Image pixels, const core::StainRow* stored)
      : image(std::move(pixels)), read(!image.empty()), facts(image, stored) {}
  core::Image image;
  bool read;
  StainFacts facts;
};

FactsCache::FactsCache(const ImageSource& source, const std::vector<ViewSampler>& samplers)
    : source_(source) {
  for (const ViewSampler& sampler : samplers) {
    const ViewRecipe& recipe = sampler.recipe();
    needs_row_ = needs_row_ || recipe.stain == "macenko";
    if (recipe.stain != "randstainna") continue;
    for (size_t s = 0; s < needs_space_.size(); ++s) {
      const std::string name = core::StainSpaceName(static_cast<core::StainSpace>(s));
      needs_space_[s] = needs_space_[s] || recipe.randstainna_space == "random" ||
                        recipe.randstainna_space == name;
    }
  }
}

FactsCache::~FactsCache() = default;

std::unique_ptr<FactsCache::Measured> FactsCache::Measure(int64_t index) const {
  const std::optional<core::StainRow> stored = source_.stain(index);
  constexpr auto kLab = static_cast<size_t>(core::StainSpace::kLab);
  bool pixels = needs_row_ && !stored;
  for (size_t s = 0; s < needs_space_.size(); ++s) {
    const bool known = s == kLab && stored && std::isfinite((*stored)[0]);
    pixels = pixels || (needs_space_[s] && !known);
  }
  auto measured = std::make_unique<Measured>(pixels ? source_.Read(index) : core::Image(),
                                             stored ? &*stored : nullptr);
  if (needs_row_) measured->facts.row();
  for (size_t s = 0; s < needs_space_.size(); ++s) {
    if (needs_space_[s]) measured->facts.colors(static_cast<core::StainSpace>(s));
  }
  measured->image = core::Image();
  return measured;
}

StainFacts* FactsCache::Of(int64_t index) {
  {
    std::lock_guard lock(mutex_);
    const auto found = known_.find(index);
    if (found != known_.end()) return &found->second->facts;
  }
  std::unique_ptr<Measured> measured = Measure(index);  // not under the lock: it may take long
  std::lock_guard lock(mutex_);
  const auto [entry, fresh] = known_.try_emplace(index, std::move(measured));
  images_read_ += fresh && entry->second->read;
  return &entry->second->facts;
}

int64_t FactsCache::images_read() const {
  std::lock_guard lock(mutex_);
  return images_read_;
}

}  // namespace eosin::engine
