// SPDX-License-Identifier: Apache-2.0
#include "segment/train/feature_cache.h"

#include <fmt/format.h>
#include <algorithm>

#include <ATen/ops/cat.h>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "segment/train/batch.h"

namespace eosin::segment {

FeatureCache::FeatureCache(const SegmentOptions& options, const MaskDataset& data,
                           const std::vector<int64_t>& train, int64_t steps,
                           const engine::Compute& compute,
                           const engine::Normalization& normalization, Learner& learner)
    : options_(options), train_(train), rank_(static_cast<size_t>(data.size())) {
  for (size_t i = 0; i < train_.size(); ++i) rank_[static_cast<size_t>(train_[i])] = i;
  const auto images = static_cast<int64_t>(train_.size());
  const int64_t uses = (steps * options_.batch + images - 1) / images;
  const int64_t all = images * std::min(options_.views, uses);
  const CropPlan plan(data, train_, options_);
  learner.Prepare(0);
  for (int64_t first = 0; first < all; first += options_.batch) {
    core::ThrowIfInterrupted();
    const int64_t count = std::min(options_.batch, all - first);
    std::vector<int64_t> indices;
    std::vector<CropKey> keys;
    for (int64_t i = first; i < first + count; ++i) {
      indices.push_back(train_[static_cast<size_t>(i % images)]);
      keys.push_back({i / images, indices.back()});
    }
    const DeviceBatch batch = ToDevice(MakeCropsOf(data, plan, options_, indices, keys),
                                       options_.crop, compute.device, normalization);
    const std::vector<at::Tensor> features = learner.Features(batch.input);
    int64_t bytes = 0;
    for (int64_t i = 0; i < count; ++i) {
      Crop crop;
      for (const at::Tensor& stage : features) {
        crop.features.push_back(stage.defined() ? stage.narrow(0, i, 1).clone() : at::Tensor());
        if (stage.defined()) bytes += static_cast<int64_t>(crop.features.back().nbytes());
      }
      crop.mask = batch.mask.narrow(0, i, 1).clone();
      bytes += static_cast<int64_t>(crop.mask.nbytes());
      crops_.push_back(std::move(crop));
    }
    if (first > 0) continue;
    gigabytes_ =
        static_cast<double>(bytes) / static_cast<double>(count) * static_cast<double>(all) / 1e9;
    if (gigabytes_ > options_.cache_gb) {
      throw core::ConfigError(
          fmt::format("the features of {} crops ({} images, {} views each) take {:.3g} GB, more "
                      "than train.cache_gb = {:g}",
                      all, images, all / images, gigabytes_, options_.cache_gb),
          "lower train.views, freeze deeper, raise train.cache_gb, or set train.cache_features = "
          "false");
    }
  }
}

size_t FeatureCache::PlaceOf(int64_t image, int64_t view) const {
  return static_cast<size_t>(view) * train_.size() + rank_[static_cast<size_t>(image)];
}

FeatureCache::Batch FeatureCache::At(int64_t step) const {
  const std::vector<int64_t> indices =
      BatchIndices(train_, options_.batch, static_cast<uint64_t>(options_.seed), step);
  std::vector<const Crop*> crops;
  for (size_t slot = 0; slot < indices.size(); ++slot) {
    const CropKey key = KeyOf(options_, static_cast<int64_t>(train_.size()), indices[slot], step,
                              static_cast<int64_t>(slot));
    crops.push_back(&crops_.at(PlaceOf(key.slot, key.step)));
  }
  Batch batch;
  std::vector<at::Tensor> parts;
  for (size_t stage = 0; stage < crops[0]->features.size(); ++stage) {
    parts.clear();
    if (crops[0]->features[stage].defined()) {
      for (const Crop* crop : crops) parts.push_back(crop->features[stage]);
    }
    batch.features.push_back(parts.empty() ? at::Tensor() : at::cat(parts));
  }
  parts.clear();
  for (const Crop* crop : crops) parts.push_back(crop->mask);
  batch.target = at::cat(parts).to(at::kLong);
  return batch;
}

}  // namespace eosin::segment
