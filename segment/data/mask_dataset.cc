// SPDX-License-Identifier: Apache-2.0
#include "segment/data/mask_dataset.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/threads.h"
#include "core/image/resample.h"
#include "eval/segmentation/objects.h"

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

// Numbers other than 0, 2 = more than one; and the 8-connected areas where it is one.
std::pair<int, int> NumbersAndAreas(const MaskedImage& pair) {
  uint16_t first = 0;
  for (const uint16_t number : pair.instances) {
    if (number == 0 || number == first) continue;
    if (first != 0) return {2, 0};
    first = number;
  }
  if (first == 0) return {0, 0};
  return {1,
          eval::ConnectedObjects(pair.mask.pixels, pair.mask.width, pair.mask.height, 1).count()};
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
  // The user's table with what it lacks; or one to begin with.
  std::vector<std::string> entries = options_.map;
  std::string target = "CLASS";
  if (options_.rule != "map") {
    entries.clear();
    const int known = classes() == 2 ? 1 : classes();
    if (classes() == 2) target = options_.classes.back();
    for (int c = 0; c < known; ++c) {
      entries.push_back(fmt::format("{}={}", c, options_.classes[static_cast<size_t>(c)]));
    }
  }
  entries.push_back(fmt::format("{}={}", value, target));
  throw DataError(
      fmt::format("mask {} holds the value {}, which is no class", item(index).mask.string(),
                  value),
      fmt::format("say what {} means with mask.rule = map and for example mask.map = [\"{}\"]; the "
                  "classes are {}",
                  value, fmt::join(entries, "\", \""), fmt::join(options_.classes, ", ")));
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
  std::set<int> shown;
  for (const ImageClasses& image : index) {
    for (int c = 0; c < classes(); ++c) {
      if (image.pixels[static_cast<size_t>(c)] > 0) shown.insert(c);
    }
    if (image.ignored > 0 && !ignored) ignored = &image;
  }
  // Class 0 alone is background, whatever is left out of means.
  if (shown.size() > 1) return;
  if (shown.size() == 1 && !shown.contains(0) &&
      !shown.contains(static_cast<int>(options_.background))) {
    return;
  }
  const std::string name =
      shown.empty() ? "ignored pixels" : options_.classes[static_cast<size_t>(*shown.begin())];
  if (!ignored) {
    throw DataError(fmt::format("the masks of {} images hold nothing but {}", size(), name),
                    "check that these are the right masks");
  }
  // The commonest slip: foreground saved as 255, which is also the customary ignore value.
  throw DataError(
      fmt::format("the masks hold nothing but {}, and {} holds the value {}, which is ignored",
                  name, item(ignored - index.data()).mask.string(), options_.ignore),
      fmt::format("if {0} is the foreground, set mask.rule = map and mask.map = [\"0={1}\", "
                  "\"{0}={2}\"]",
                  options_.ignore, options_.classes.front(), options_.classes.back()));
}

// Some masks 0/255, the others 0/1: the foreground of the first would be ignored in silence. Only
// where 255 is ignored by default: a table that says so is the user's word.
void MaskDataset::CheckIgnored(const std::vector<ImageClasses>& index) const {
  if (options_.rule == "instances" || options_.ignore != kIgnoredPixel || IsStoreData(options_)) {
    return;
  }
  MaskDataOptions said = options_;
  said.ignore = -1;
  if (said.ClassTable()[kIgnoredPixel] != kUnknownValue) return;
  const ImageClasses* first = nullptr;
  int64_t suspects = 0, foreground = 0, both = 0;
  for (const ImageClasses& image : index) {
    const bool shows = std::any_of(image.pixels.begin() + 1, image.pixels.end(),
                                   [](int64_t pixels) { return pixels > 0; });
    foreground += shows;
    both += shows && image.ignored > 0;
    if (shows || image.ignored == 0) continue;
    ++suspects;
    if (!first) first = &image;
  }
  if (!first || foreground == 0) return;
  const std::string what = fmt::format(
      "{} of {} masks hold no class but {} and the value {}, which is ignored, {} the first",
      suspects, size(), options_.classes.front(), options_.ignore,
      item(first - index.data()).mask.string());
  if (both > 0) {
    core::LogWarning(what + ": if that is their foreground, it is lost");
    return;
  }
  std::vector<std::string> entries = options_.map;
  if (options_.rule != "map") {
    entries.clear();
    for (int c = 0; c < classes(); ++c) {
      entries.push_back(fmt::format("{}={}", c, options_.classes[static_cast<size_t>(c)]));
    }
  }
  throw DataError(
      what + "; those that show another class never hold it",
      fmt::format("if it is their foreground, save all masks alike, or give it a class; "
                  "if it is to be ignored, say so: mask.rule = map, mask.map = [\"{}\", "
                  "\"{}=ignore\"]",
                  fmt::join(entries, "\", \""), options_.ignore));
}

// objects: of each image, how many numbers (2 = more than one) and, where it is one, areas.
void MaskDataset::CheckNumbers(const std::vector<std::pair<int, int>>& objects) const {
  const std::pair<int, int>* several = nullptr;
  for (const auto& image : objects) {
    if (image.first > 1) return;
    if (image.second > 1 && !several) several = &image;
  }
  if (!several) return;
  const auto at = several - objects.data();
  const auto pair = Read(at);
  const uint16_t number = *std::max_element(pair->instances.begin(), pair->instances.end());
  throw DataError(
      fmt::format("mask.rule = instances, but no mask holds more than one number, and the {} areas "
                  "of {} are all {}: they would count as one object",
                  several->second, item(at).mask.string(), number),
      fmt::format(
          "number the objects; or, if every area is one, set mask.rule = map and mask.map = "
          "[\"0={}\", \"{}={}\"]",
          options_.classes.front(), number, options_.classes.back()));
}

const std::vector<ImageClasses>& MaskDataset::ClassIndex(int workers) const {
  {
    std::lock_guard lock(mutex_);
    if (!class_index_.empty()) return class_index_;
  }
  std::vector<ImageClasses> index(items().size());
  std::vector<std::pair<int, int>> objects(options_.rule == "instances" ? items().size() : 0);
  core::ParallelFor(size(), workers, [&](int64_t i) {
    const auto pair = Read(i);
    index[static_cast<size_t>(i)] = IndexClasses(pair->mask, classes(), i);
    if (!objects.empty()) objects[static_cast<size_t>(i)] = NumbersAndAreas(*pair);
  });
  CheckForeground(index);
  CheckIgnored(index);
  CheckNumbers(objects);
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
