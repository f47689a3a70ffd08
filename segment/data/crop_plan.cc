// SPDX-License-Identifier: Apache-2.0
#include "segment/data/crop_plan.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace eosin::segment {
namespace {

// Views of a crop's stream (crops.cc has 0 and 1).
constexpr uint32_t kCentreDraw = 2, kClassDraw = 3;

core::PhiloxStream Stream(uint64_t seed, int64_t step, int64_t slot, uint32_t view) {
  return {seed, core::DrawPurpose::kView, static_cast<uint32_t>(step), static_cast<uint32_t>(slot),
          view};
}

template <typename T>
const T& Pick(const std::vector<T>& items, core::PhiloxStream& draw) {
  return items[draw.Below(static_cast<uint32_t>(items.size()))];
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

CropPlan::CropPlan(const MaskDataset& data, const std::vector<int64_t>& train,
                   const SegmentOptions& options)
    : train_(train),
      batch_(options.batch),
      seed_(static_cast<uint64_t>(options.seed)),
      foreground_(options.data.crop_foreground),
      background_(options.data.background) {
  const std::string& balance = options.data.crop_balance;
  if (foreground_ == 0 && balance == "none") return;
  classes_ = &data.ClassIndex(options.Workers());
  if (balance == "none") return;
  const auto count = static_cast<size_t>(data.classes());
  with_class_.resize(count);
  std::vector<double> weight(count, 0.0);
  for (const int64_t i : train_) {
    for (size_t c = 0; c < count; ++c) {
      const int64_t pixels = (*classes_)[static_cast<size_t>(i)].pixels[c];
      if (pixels > 0) with_class_[c].push_back(i);
      weight[c] += static_cast<double>(pixels);
    }
  }
  double total = 0;
  for (double& w : weight) {
    w = balance == "sqrt" ? std::sqrt(w) : (w > 0 ? 1.0 : 0.0);
    total += w;
  }
  if (total == 0) {
    throw core::DataError("the training masks hold only ignored pixels",
                          "check mask.ignore and mask.map");
  }
  double sum = 0;
  for (const double w : weight) class_share_.push_back((sum += w) / total);
}

size_t CropPlan::DrawClass(int64_t step, int64_t slot) const {
  const double u = Stream(seed_, step, slot, kClassDraw).Uniform();
  // A class without pixels has no share of its own, so that it is never the first above u.
  const auto first = std::upper_bound(class_share_.begin(), class_share_.end(), u);
  auto c = static_cast<size_t>(first - class_share_.begin());
  c = std::min(c, class_share_.size() - 1);
  while (with_class_[c].empty()) --c;  // only where the shares' sum was rounded below u
  return c;
}

std::vector<int64_t> CropPlan::Indices(int64_t step) const {
  if (class_share_.empty()) return BatchIndices(train_, batch_, seed_, step);
  std::vector<int64_t> indices;
  for (int64_t slot = 0; slot < batch_; ++slot) {
    core::PhiloxStream draw = Stream(seed_, step, slot, kClassDraw);
    draw.Next();  // the class
    indices.push_back(Pick(with_class_[DrawClass(step, slot)], draw));
  }
  return indices;
}

std::optional<uint32_t> CropPlan::Centre(int64_t step, int64_t slot, int64_t index) const {
  if (!classes_) return std::nullopt;
  const auto& centres = (*classes_)[static_cast<size_t>(index)].centres;
  core::PhiloxStream draw = Stream(seed_, step, slot, kCentreDraw);
  if (!class_share_.empty()) {
    const auto& of_class = centres[DrawClass(step, slot)];
    return of_class.empty() ? std::nullopt : std::optional(Pick(of_class, draw));
  }
  if (!draw.Bernoulli(static_cast<float>(foreground_))) return std::nullopt;
  std::vector<size_t> present;
  for (size_t c = 0; c < centres.size(); ++c) {
    if (static_cast<int64_t>(c) != background_ && !centres[c].empty()) present.push_back(c);
  }
  if (present.empty()) return std::nullopt;
  return Pick(centres[Pick(present, draw)], draw);
}

}  // namespace eosin::segment
