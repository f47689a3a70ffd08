// SPDX-License-Identifier: Apache-2.0
// Recipes, options and comparable copies of batches, for tests of what a batch may carry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/view_loader.h"

namespace eosin::engine::testing {

inline std::vector<ViewRecipe> MultiCrop(const std::string& stain = "off") {
  std::vector<ViewRecipe> views(5, ViewRecipe::Preset("byol_b"));
  for (size_t v = 0; v < views.size(); ++v) {
    views[v].size = v < 2 ? 16 : 9;
    views[v].stain = stain;
    views[v].stain_probability = 1;
  }
  return views;
}

inline LoaderOptions Options(Payload payload, int64_t workers = 2, int64_t batch = 8) {
  LoaderOptions options;
  options.batch = batch, options.workers = workers, options.seed = 42;
  options.payload = payload;
  options.drop_last = false;
  return options;
}

// A batch in a form that compares.
struct Copy {
  std::vector<int64_t> indices, labels, record_images;
  std::vector<uint8_t> records, pixels;
  bool operator==(const Copy&) const = default;
};

template <typename T>
void AppendBytes(const T* from, size_t count, std::vector<uint8_t>* to) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(from);
  to->insert(to->end(), bytes, bytes + count * sizeof(T));
}

inline Copy CopyOf(const Batch& batch, size_t image_bytes) {
  Copy copy{batch.indices, batch.labels, batch.record_images, {}, {}};
  AppendBytes(batch.records.data(), batch.records.size(), &copy.records);
  for (const ViewGroup& group : batch.groups) {
    if (!group.pixels) continue;
    AppendBytes(group.pixels,
                static_cast<size_t>(group.count * batch.size() * group.size * group.size * 3),
                &copy.pixels);
  }
  if (batch.images) {
    AppendBytes(batch.images, static_cast<size_t>(batch.image_count) * image_bytes, &copy.pixels);
  }
  return copy;
}

inline std::vector<Copy> Epoch(ViewLoader& loader, int64_t epoch) {
  std::vector<Copy> copies;
  loader.StartEpoch(epoch);
  while (const Batch* batch = loader.Next()) copies.push_back(CopyOf(*batch, 24 * 20 * 3));
  return copies;
}

// Tiles on a 6-wide grid, 30 a slide.
inline std::optional<TilePlace> GridPlace(int64_t i) {
  return TilePlace{i / 30, static_cast<double>(i % 30 % 6), static_cast<double>(i % 30 / 6)};
}

}  // namespace eosin::engine::testing
