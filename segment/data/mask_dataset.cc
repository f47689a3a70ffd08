// SPDX-License-Identifier: Apache-2.0
#include "segment/data/mask_dataset.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/threads.h"
#include "core/image/resample.h"

namespace eosin::segment {
namespace {

using core::DataError;

int Scaled(int pixels, double scale) {
  return std::max(1, static_cast<int>(std::lround(pixels * scale)));
}

// Nearest neighbour: numbers are not mixed.
template <typename T>
std::vector<T> ResizeNearest(const std::vector<T>& in, int in_width, int in_height, int width,
                             int height) {
  std::vector<T> out;
  out.reserve(static_cast<size_t>(width) * static_cast<size_t>(height));
  for (int y = 0; y < height; ++y) {
    const auto from_y = static_cast<size_t>((y + 0.5) * in_height / height);
    const T* row = in.data() + from_y * static_cast<size_t>(in_width);
    for (int x = 0; x < width; ++x)
      out.push_back(row[static_cast<int>((x + 0.5) * in_width / width)]);
  }
  return out;
}

}  // namespace

MaskDataset::MaskDataset(const MaskDataOptions& options, int64_t memory)
    : options_(options),
      memory_(options.in_memory ? std::numeric_limits<int64_t>::max() : memory),
      table_(options.ClassTable()) {
  options_.Check();
  source_ = OpenMaskSource(options_);
  if (options_.mpp == 0) options_.mpp = source_->mpp();
  kept_.resize(items().size());
  was_read_.resize(items().size());
}

void MaskDataset::Map(const core::Mask16& raw, int64_t index, MaskedImage* pair) const {
  pair->mask = core::Image(raw.width, raw.height, 1);
  bool known = true;
  for (size_t i = 0; i < raw.pixels.size(); ++i) {
    const int16_t c = table_[raw.pixels[i]];
    known = known && c != kUnknownValue;
    pair->mask.pixels[i] = static_cast<uint8_t>(c);
  }
  if (known) return;
  const uint16_t value = *std::find_if(raw.pixels.begin(), raw.pixels.end(),
                                       [&](uint16_t v) { return table_[v] == kUnknownValue; });
  throw DataError(
      fmt::format("mask {} holds the value {}, which is no class", item(index).mask.string(),
                  value),
      fmt::format("the classes are 0 to {}; say what {} means with mask.rule = map and for example "
                  "mask.map = [\"0={}\", \"{}={}\"]",
                  classes() - 1, value, options_.classes.front(), value, options_.classes.back()));
}

std::shared_ptr<const MaskedImage> MaskDataset::Read(int64_t index) const {
  const auto at = static_cast<size_t>(index);
  {
    std::lock_guard lock(mutex_);
    if (kept_[at]) return kept_[at];
    if (was_read_[at]) ++decoded_again_;
    was_read_[at] = true;
  }
  RawMask raw = source_->Read(index);
  if (raw.image.width != raw.mask.width || raw.image.height != raw.mask.height) {
    throw DataError(fmt::format("mask {} and its image differ in size", item(index).mask.string()),
                    "a mask has one pixel for each pixel of its image");
  }
  auto pair = std::make_shared<MaskedImage>();
  Map(raw.mask, index, pair.get());
  pair->image = std::move(raw.image);
  if (options_.rule == "instances") pair->instances = std::move(raw.mask.pixels);
  if (options_.scale != 1.0) {
    const int from_width = pair->image.width, from_height = pair->image.height;
    const int width = Scaled(from_width, options_.scale);
    const int height = Scaled(from_height, options_.scale);
    pair->image = core::Resize(pair->image, width, height);
    pair->mask.pixels = ResizeNearest(pair->mask.pixels, from_width, from_height, width, height);
    pair->mask.width = width;
    pair->mask.height = height;
    if (!pair->instances.empty()) {
      pair->instances = ResizeNearest(pair->instances, from_width, from_height, width, height);
    }
  }
  const auto bytes = static_cast<int64_t>(pair->image.pixels.size() + pair->mask.pixels.size() +
                                          2 * pair->instances.size());
  std::lock_guard lock(mutex_);
  if (!kept_[at] && bytes <= memory_ - kept_bytes_) {
    kept_[at] = pair;
    kept_bytes_ += bytes;
  }
  return pair;
}

std::string MaskDataset::MemoryWarning() const {
  std::lock_guard lock(mutex_);
  const auto kept = std::count_if(kept_.begin(), kept_.end(), [](const auto& p) { return !!p; });
  if (kept == size()) return "";
  return fmt::format(
      "{} of {} decoded images fit into {} MiB; each crop of another decodes its whole image: set "
      "input.in_memory = true where memory allows, or cut large images into tiles (eosin tile)",
      kept, size(), memory_ >> 20);
}

void MaskDataset::CheckForeground(const std::vector<ImageClasses>& index) const {
  const ImageClasses* ignored = nullptr;
  for (const ImageClasses& image : index) {
    for (int c = 0; c < classes(); ++c) {
      if (c != options_.background && image.pixels[static_cast<size_t>(c)] > 0) return;
    }
    if (image.ignored > 0 && !ignored) ignored = &image;
  }
  if (!ignored) {
    throw DataError(fmt::format("the masks of {} images hold nothing but background", size()),
                    "check that these are the right masks");
  }
  // The commonest slip: foreground saved as 255, which is also the customary ignore value.
  throw DataError(
      fmt::format("the masks hold no class but background, and {} holds the value {}, which is "
                  "ignored",
                  item(ignored - index.data()).mask.string(), options_.ignore),
      fmt::format("if {0} is the foreground, set mask.rule = map and mask.map = [\"0={1}\", "
                  "\"{0}={2}\"]",
                  options_.ignore, options_.classes.front(), options_.classes.back()));
}

const std::vector<ImageClasses>& MaskDataset::ClassIndex(int workers) const {
  {
    std::lock_guard lock(mutex_);
    if (!class_index_.empty()) return class_index_;
  }
  std::vector<ImageClasses> index(items().size());
  core::ParallelFor(size(), workers, [&](int64_t i) {
    index[static_cast<size_t>(i)] = IndexClasses(Read(i)->mask, classes(), i);
  });
  CheckForeground(index);
  std::lock_guard lock(mutex_);
  if (class_index_.empty()) {
    for (const ImageClasses& image : index) class_pixels_.push_back(image.pixels);
    class_index_ = std::move(index);
  }
  return class_index_;
}

const std::vector<std::vector<int64_t>>& MaskDataset::ClassPixels(int workers) const {
  ClassIndex(workers);
  return class_pixels_;
}

const std::vector<MaskDataset::Hashes>& MaskDataset::FileHashes(int workers) const {
  {
    std::lock_guard lock(mutex_);
    if (!hashes_.empty()) return hashes_;
  }
  std::vector<Hashes> hashes(items().size());
  core::ParallelFor(size(), workers,
                    [&](int64_t i) { hashes[static_cast<size_t>(i)] = source_->Hash(i); });
  std::lock_guard lock(mutex_);
  if (hashes_.empty()) hashes_ = std::move(hashes);
  return hashes_;
}

}  // namespace eosin::segment
