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

engine::ViewParams DrawCrop(const SegmentOptions& options, int64_t step, int64_t slot, int width,
                            int height, std::optional<uint32_t> centre) {
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
  if (centre) {
    const auto x = static_cast<float>(*centre % static_cast<uint32_t>(width));
    const auto y = static_cast<float>(*centre / static_cast<uint32_t>(width));
    const float half = std::floor(box / 2);
    view.crop_x = std::clamp(x - half, 0.0f, static_cast<float>(width) - box);
    view.crop_y = std::clamp(y - half, 0.0f, static_cast<float>(height) - box);
    return view;
  }
  view.crop_x = std::floor(place.Uniform() * (static_cast<float>(width) - box + 1));
  view.crop_y = std::floor(place.Uniform() * (static_cast<float>(height) - box + 1));
  return view;
}

CropBatch MakeCrops(const MaskDataset& data, const std::vector<int64_t>& train,
                    const SegmentOptions& options, int64_t step) {
  const CropPlan plan(data, train, options);
  CropBatch batch;
  batch.step = step;
  batch.indices = plan.Indices(step);
  const int crop = static_cast<int>(options.crop);
  const auto pixels = static_cast<size_t>(crop) * static_cast<size_t>(crop);
  batch.images.resize(batch.indices.size() * pixels * 3);
  batch.masks.resize(batch.indices.size() * pixels);
  core::ParallelFor(options.batch, options.Workers(), [&](int64_t slot) {
    const auto at = static_cast<size_t>(slot);
    const auto pair = data.Read(batch.indices[at]);
    const engine::ViewParams view =
        DrawCrop(options, step, slot, pair->image.width, pair->image.height,
                 plan.Centre(step, slot, batch.indices[at]));
    engine::ViewScratch scratch;
    engine::ApplyView(pair->image, view, crop, crop, &batch.images[at * pixels * 3], scratch);
    engine::ApplyMask(pair->mask, view, crop, crop, &batch.masks[at * pixels]);
  });
  return batch;
}

CropLoader::CropLoader(const MaskDataset& data, std::vector<int64_t> train,
                       const SegmentOptions& options)
    : queue_(2) {
  worker_ = std::jthread([this, &data, train = std::move(train), options] {
    for (int64_t step = 0; step < options.steps; ++step) {
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
