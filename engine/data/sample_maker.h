// SPDX-License-Identifier: Apache-2.0
// Makes the samples of one epoch into the buffers of a batch: reads images, replaces damaged ones,
// pairs tiles with neighbours, draws the records and, as the payload asks, executes the views.
// What a sample becomes depends on its place in the epoch alone. Used by ViewLoader's workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/philox.h"
#include "engine/augment/apply.h"
#include "engine/augment/view_sampler.h"
#include "engine/data/facts_cache.h"
#include "engine/data/neighbours.h"
#include "engine/data/view_loader.h"

namespace eosin::engine {

// One batch in the making. Its buffer holds the pixels of all groups, or the images.
struct BatchSpace {
  uint8_t* buffer = nullptr;
  Batch batch;
  std::vector<int64_t> neighbour_rows;  // kImages: a sample's second row in the images, -1 without
};

class SampleMaker {
 public:
  // Checks all of the loader's options but batch and workers; throws what ViewLoader promises.
  SampleMaker(const ImageSource& source, std::vector<ViewRecipe> views,
              const LoaderOptions& options);

  const std::vector<ViewGroup>& groups() const { return groups_; }
  int64_t view_count() const { return static_cast<int64_t>(samplers_.size()); }
  size_t BufferBytes(int64_t samples) const;

  // Not while another thread is in Make or Plan.
  void StartEpoch(int64_t epoch);
  bool started() const { return !order_.empty(); }

  // Sizes and addresses of the batch whose first sample stands at `first` in the epoch's order.
  void Plan(int64_t step, int64_t first, int64_t samples, BatchSpace* space) const;
  // Sample `place` of the batch. Returns whether an image had to be replaced. Many threads may make
  // samples of one batch. Throws DataError when nothing in reach decodes.
  bool Make(int64_t first, int64_t place, BatchSpace* space, ViewScratch& scratch);

  std::string FirstDamage() const;

 private:
  struct Loaded;
  core::PhiloxStream Stream(core::DrawPurpose purpose, int64_t task, uint32_t view) const;
  bool WantsNeighbour(core::PhiloxStream& draw) const;
  bool AnyNeighbour(int64_t task) const;
  bool IsDamaged(int64_t index) const;
  void NoteDamage(int64_t index, const std::string& why);
  bool TryRead(int64_t index, core::Image* image);
  int64_t ReadFrom(int64_t task, core::Image* image);
  bool ReadNeighbour(int64_t index, uint32_t draw, Loaded* loaded);
  void Load(int64_t index, core::Image image, Loaded* loaded);
  void CopyImage(const Loaded& loaded, int64_t row, BatchSpace* space) const;

  const ImageSource& source_;
  std::vector<ViewSampler> samplers_;  // one a view
  bool needs_facts_ = false;
  const Payload payload_;
  const uint64_t seed_;
  const bool shuffle_;
  const double neighbour_probability_;
  const std::pair<int, int> uniform_size_;
  std::optional<NeighbourIndex> neighbours_;
  std::optional<FactsCache> facts_;  // kRecords
  std::vector<ViewGroup> groups_;

  int64_t epoch_ = 0;
  std::vector<int64_t> order_;
  std::vector<uint32_t> repeats_;  // empty: no image comes twice

  mutable std::mutex damage_mutex_;
  std::atomic<bool> any_damage_{false};
  std::set<int64_t> damaged_;
  std::string first_damage_;
  int64_t named_ = 0;
};

}  // namespace eosin::engine
