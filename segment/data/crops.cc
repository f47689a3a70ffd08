// SPDX-License-Identifier: Apache-2.0
#include "segment/data/crops.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "engine/augment/apply.h"
#include "engine/augment/recipe.h"
#include "segment/predict/mirror.h"

namespace eosin::segment {
namespace {

core::PhiloxStream ViewStream(uint64_t seed, int64_t step, int64_t slot, uint32_t view) {
  return {seed, core::DrawPurpose::kView, static_cast<uint32_t>(step), static_cast<uint32_t>(slot),
          view};
}

// The crop box of an image that does not hold it.
core::Image Mirrored(const core::Image& image, const engine::ViewParams& view) {
  core::Image out(static_cast<int>(view.crop_w), static_cast<int>(view.crop_h), image.channels);
  const auto left = static_cast<int64_t>(view.crop_x), top = static_cast<int64_t>(view.crop_y);
  for (int y = 0; y < out.height; ++y) {
    const int from_y = static_cast<int>(Mirror(top + y, image.height));
    for (int x = 0; x < out.width; ++x) {
      std::copy_n(image.at(static_cast<int>(Mirror(left + x, image.width)), from_y), image.channels,
                  out.at(x, y));
    }
  }
  return out;
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
  const double side = static_cast<double>(options.crop) / std::exp(log_scale);
  // Whole pixels: at scale 1 a crop is a copy.
  const float box = static_cast<float>(std::max(1.0, std::round(side)));
  view.crop_w = view.crop_h = box;
  // What a crop may be moved by on each axis; below 0 where it is the larger.
  const float free_x = static_cast<float>(width) - box, free_y = static_cast<float>(height) - box;
  if (centre) {
    const auto x = static_cast<float>(*centre % static_cast<uint32_t>(width));
    const auto y = static_cast<float>(*centre / static_cast<uint32_t>(width));
    const float half = std::floor(box / 2);
    view.crop_x = std::clamp(x - half, std::min(0.0f, free_x), std::max(0.0f, free_x));
    view.crop_y = std::clamp(y - half, std::min(0.0f, free_y), std::max(0.0f, free_y));
    return view;
  }
  const auto start = [&](float free) {
    const float steps = std::floor(place.Uniform() * (std::abs(free) + 1));
    return free < 0 ? -steps : steps;
  };
  view.crop_x = start(free_x);
  view.crop_y = start(free_y);
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
  return MakeCrops(data, CropPlan(data, train, options), options, step);
}

CropBatch MakeCrops(const MaskDataset& data, const CropPlan& plan, const SegmentOptions& options,
                    int64_t step) {
  const std::vector<int64_t> indices = plan.Indices(step);
  std::vector<CropKey> keys;
  for (size_t slot = 0; slot < indices.size(); ++slot) {
    keys.push_back(KeyOf(options, plan.images(), indices[slot], step, static_cast<int64_t>(slot)));
  }
  CropBatch batch = MakeCropsOf(data, plan, options, indices, keys);
  batch.step = step;
  return batch;
}

CropBatch MakeCropsOf(const MaskDataset& data, const CropPlan& plan, const SegmentOptions& options,
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
    engine::ViewParams view =
        DrawCrop(options, keys[at].step, keys[at].slot, pair->image.width, pair->image.height,
                 plan.Centre(keys[at].step, keys[at].slot, batch.indices[at]));
    const auto apply = [&](const core::Image& image, const core::Image& mask) {
      engine::ViewScratch scratch;
      engine::ApplyView(image, view, crop, crop, &batch.images[at * pixels * 3], scratch);
      engine::ApplyMask(mask, view, crop, crop, &batch.masks[at * pixels]);
    };
    if (static_cast<int>(view.crop_w) <= std::min(pair->image.width, pair->image.height)) {
      apply(pair->image, pair->mask);
      return;
    }
    const core::Image image = Mirrored(pair->image, view), mask = Mirrored(pair->mask, view);
    view.crop_x = view.crop_y = 0;
    apply(image, mask);
  });
  return batch;
}

CropLoader::CropLoader(const MaskDataset& data, std::vector<int64_t> train,
                       const SegmentOptions& options, int64_t first)
    : queue_(2) {
  worker_ = std::jthread([this, &data, train = std::move(train), options, first] {
    std::optional<CropPlan> plan;
    for (int64_t step = first; step < options.steps; ++step) {
      auto slot = std::make_shared<Slot>();
      try {
        if (!plan) plan.emplace(data, train, options);
        slot->batch = MakeCrops(data, *plan, options, step);
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
