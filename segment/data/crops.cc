// SPDX-License-Identifier: Apache-2.0
#include "segment/data/crops.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "engine/augment/apply.h"
#include "engine/augment/recipe.h"

namespace eosin::segment {
namespace {

core::PhiloxStream ViewStream(uint64_t seed, int64_t step, int64_t slot, uint32_t view) {
  return {seed, core::DrawPurpose::kView, static_cast<uint32_t>(step), static_cast<uint32_t>(slot),
          view};
}

}  // namespace

std::vector<int64_t> BatchIndices(const std::vector<int64_t>& train, int64_t batch, uint64_t seed,
                                  int64_t step) {
  if (train.empty()) {
    throw core::DataError("there is no image to train on", "lower split.val and split.test");
  }
  const auto size = static_cast<int64_t>(train.size());
  std::vector<int64_t> indices, order;
  int64_t epoch_of_order = -1;
  for (int64_t k = step * batch; k < (step + 1) * batch; ++k) {
    if (k / size != epoch_of_order) {
      epoch_of_order = k / size;
      order = train;
      core::Shuffle(order, core::PhiloxStream(seed, core::DrawPurpose::kOrder,
                                              static_cast<uint32_t>(epoch_of_order), 0));
    }
    indices.push_back(order[static_cast<size_t>(k % size)]);
  }
  return indices;
}

engine::ViewParams DrawCrop(const SegmentOptions& options, int64_t step, int64_t slot, int width,
                            int height) {
  const auto seed = static_cast<uint64_t>(options.seed);
  // Colour, stain, flips and turns by the shared recipe; the crop keeps its scale in pixels instead
  // of a share of the source's area, since magnification means something in histology.
  engine::ViewParams view =
      engine::DrawView(options.Recipe(), ViewStream(seed, step, slot, 0), width, height);
  core::PhiloxStream place = ViewStream(seed, step, slot, 1);
  const double log_scale =
      std::log(options.scale_min) +
      place.Uniform() * (std::log(options.scale_max) - std::log(options.scale_min));
  const double side = std::min<double>(static_cast<double>(options.crop) / std::exp(log_scale),
                                       std::min(width, height));
  // Whole pixels: at scale 1 a crop is a copy.
  const float box = static_cast<float>(std::max(1.0, std::round(side)));
  view.crop_w = view.crop_h = box;
  view.crop_x = std::floor(place.Uniform() * (static_cast<float>(width) - box + 1));
  view.crop_y = std::floor(place.Uniform() * (static_cast<float>(height) - box + 1));
  return view;
}

CropKey KeyOf(const SegmentOptions& options, int64_t train_images, int64_t image, int64_t step,
              int64_t slot) {
  if (options.views == 0) return {step, slot};
  const int64_t use = (step * options.batch + slot) / train_images;
  return {use % options.views, image};
}

CropBatch MakeCrops(const MaskDataset& data, const std::vector<int64_t>& train,
                    const SegmentOptions& options, int64_t step) {
  const std::vector<int64_t> indices =
      BatchIndices(train, options.batch, static_cast<uint64_t>(options.seed), step);
  std::vector<CropKey> keys;
  for (size_t slot = 0; slot < indices.size(); ++slot) {
    keys.push_back(KeyOf(options, static_cast<int64_t>(train.size()), indices[slot], step,
                         static_cast<int64_t>(slot)));
  }
  CropBatch batch = MakeCropsOf(data, options, indices, keys);
  batch.step = step;
  return batch;
}

CropBatch MakeCropsOf(const MaskDataset& data, const SegmentOptions& options,
                      const std::vector<int64_t>& indices, const std::vector<CropKey>& keys) {
  CropBatch batch;
  batch.indices = indices;
  const int crop = static_cast<int>(options.crop);
  const auto pixels = static_cast<size_t>(crop) * static_cast<size_t>(crop);
  batch.images.resize(batch.indices.size() * pixels * 3);
  batch.masks.resize(batch.indices.size() * pixels);
  core::ParallelFor(static_cast<int64_t>(indices.size()), options.Workers(), [&](int64_t slot) {
    const auto at = static_cast<size_t>(slot);
    const auto pair = data.Read(batch.indices[at]);
    const engine::ViewParams view =
        DrawCrop(options, keys[at].step, keys[at].slot, pair->image.width, pair->image.height);
    engine::ViewScratch scratch;
    engine::ApplyView(pair->image, view, crop, crop, &batch.images[at * pixels * 3], scratch);
    engine::ApplyMask(pair->mask, view, crop, crop, &batch.masks[at * pixels]);
  });
  return batch;
}

CropLoader::CropLoader(const MaskDataset& data, std::vector<int64_t> train,
                       const SegmentOptions& options, int64_t first)
    : queue_(2) {
  worker_ = std::jthread([this, &data, train = std::move(train), options, first] {
    for (int64_t step = first; step < options.steps; ++step) {
      auto slot = std::make_shared<Slot>();
      try {
        slot->batch = MakeCrops(data, train, options, step);
      } catch (...) {
        slot->error = std::current_exception();
      }
      const bool failed = slot->error != nullptr;
      if (!queue_.Push(std::move(slot)) || failed) break;
    }
    queue_.Close();
  });
}

CropLoader::~CropLoader() { queue_.Close(); }

CropBatch CropLoader::Next() {
  auto slot = queue_.Pop();
  if (!slot) throw core::DataError("no training batches are left", "ask for at most train.steps");
  if ((*slot)->error) std::rethrow_exception((*slot)->error);
  return std::move((*slot)->batch);
}

}  // namespace eosin::segment
