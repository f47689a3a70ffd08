// SPDX-License-Identifier: Apache-2.0
#include "engine/data/sample_maker.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "core/base/log.h"

namespace eosin::engine {
namespace {

constexpr int64_t kNamedBadImages = 10;   // that many are named in the log
constexpr int64_t kMostBadInARow = 1000;  // then nothing in reach decodes
constexpr size_t kAlign = 64;             // of a group's first pixel

size_t ViewBytes(int64_t size) { return static_cast<size_t>(size * size * 3); }
size_t AlignUp(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

void CheckSource(const ImageSource& source, const LoaderOptions& options) {
  const int64_t size = source.size();
  if (size == 0) throw core::DataError("the set has no images", "check the folder and the filter");
  if (size > int64_t{std::numeric_limits<uint32_t>::max()}) {
    throw core::ConfigError(fmt::format("the set has {} images", size),
                            "draws are keyed by 32 bits: split the set into parts of less than "
                            "4,294,967,296 images");
  }
  for (const int64_t index : options.damaged) {
    if (index < 0 || index >= size) {
      throw core::ConfigError(fmt::format("damaged image {} of {}", index, size),
                              "give indices into the set");
    }
  }
}

// Where images or records travel. Looking may open every picture, so not for views.
std::pair<int, int> UniformSize(const ImageSource& source, Payload payload) {
  if (payload == Payload::kViews || source.size() == 0) return {0, 0};
  const std::pair<int, int> size = source.uniform_size();
  if (size.first > 0 && size.second > 0) return size;
  throw core::ConfigError("the images of the set have different sizes",
                          "let the loader make the views (placement = host), or tile at one size");
}

std::vector<ViewGroup> GroupsOf(const std::vector<ViewRecipe>& views) {
  if (views.empty()) throw core::ConfigError("no views were asked for", "give at least one view");
  std::vector<ViewGroup> groups;
  for (const ViewRecipe& view : views) {
    view.Check();
    if (groups.empty() || groups.back().size != view.size) groups.push_back({.size = view.size});
    ++groups.back().count;
  }
  return groups;
}

// A record that only cuts a box of the view's own size: rows are copied.
bool IsPlainCut(const core::Image& image, const ViewParams& record, int size) {
  if (record.hflip || record.vflip || record.rot90 || record.jitter || record.gray ||
      record.stain != kStainOff || record.blur_sigma > 0 || record.solarize <= 1) {
    return false;
  }
  const auto side = static_cast<float>(size);
  return record.version == kViewParamsVersion && image.channels == 3 && record.crop_w == side &&
         record.crop_h == side && record.crop_x >= 0 && record.crop_y >= 0 &&
         record.crop_x == std::floor(record.crop_x) && record.crop_y == std::floor(record.crop_y) &&
         record.crop_x + side <= static_cast<float>(image.width) &&
         record.crop_y + side <= static_cast<float>(image.height);
}

void Execute(const core::Image& image, const ViewParams& record, int size, uint8_t* out,
             ViewScratch& scratch) {
  if (!IsPlainCut(image, record, size)) return ApplyView(image, record, size, out, scratch);
  const auto row_bytes = static_cast<size_t>(size) * 3;
  const int x = static_cast<int>(record.crop_x), y = static_cast<int>(record.crop_y);
  if (image.stride() == row_bytes) {
    std::memcpy(out, image.row(y), row_bytes * static_cast<size_t>(size));
    return;
  }
  for (int i = 0; i < size; ++i) {
    std::memcpy(out + static_cast<size_t>(i) * row_bytes, image.at(x, y + i), row_bytes);
  }
}

}  // namespace

// An image and what is known of it, for as long as one sample is made.
struct SampleMaker::Loaded {
  int64_t index = -1;
  core::Image image;  // empty with kRecords
  int width = 0, height = 0;
  std::optional<StainFacts> measured;  // refers to image: not to be moved
  StainFacts* facts = nullptr;         // only where a sampler needs them
};

SampleMaker::SampleMaker(const ImageSource& source, std::vector<ViewRecipe> views,
                         const LoaderOptions& options)
    : source_(source),
      payload_(options.payload),
      seed_(options.seed),
      shuffle_(options.shuffle),
      neighbour_probability_(options.neighbour_probability),
      uniform_size_(UniformSize(source, payload_)),
      groups_(GroupsOf(views)),
      any_damage_(!options.damaged.empty()),
      damaged_(options.damaged.begin(), options.damaged.end()) {
  CheckSource(source, options);
  for (ViewRecipe& view : views) {
    samplers_.emplace_back(std::move(view));
    needs_facts_ = needs_facts_ || samplers_.back().needs_facts();
  }
  if (needs_facts_ && payload_ == Payload::kRecords) facts_.emplace(source, samplers_);
  if (!(neighbour_probability_ >= 0 && neighbour_probability_ <= 1)) {
    throw core::ConfigError(
        fmt::format("neighbour_probability = {} is out of range", neighbour_probability_),
        "give a chance from 0 to 1");
  }
  if (neighbour_probability_ > 0) neighbours_.emplace(source, options.neighbour_radius);
}

size_t SampleMaker::BufferBytes(int64_t samples) const {
  const auto count = static_cast<size_t>(samples);
  if (payload_ == Payload::kRecords) return 0;
  if (payload_ == Payload::kImages) {
    return count * (neighbours_ ? 2 : 1) * static_cast<size_t>(uniform_size_.first) *
           static_cast<size_t>(uniform_size_.second) * 3;
  }
  size_t bytes = 0;
  for (const ViewGroup& group : groups_) {
    bytes = AlignUp(bytes) + count * static_cast<size_t>(group.count) * ViewBytes(group.size);
  }
  return bytes;
}

void SampleMaker::StartEpoch(int64_t epoch) {
  epoch_ = epoch;
  if (shuffle_) {
    order_ = EpochOrder(source_, seed_, epoch);
    repeats_ = RepeatCounts(order_, source_.size());
  } else {
    order_.resize(static_cast<size_t>(source_.size()));
    std::iota(order_.begin(), order_.end(), int64_t{0});
  }
}

core::PhiloxStream SampleMaker::Stream(core::DrawPurpose purpose, int64_t task,
                                       uint32_t view) const {
  const auto place = static_cast<size_t>(task);
  const uint32_t repeat = repeats_.empty() ? 0 : repeats_[place];
  return {seed_, purpose, static_cast<uint32_t>(epoch_), static_cast<uint32_t>(order_[place]),
          view + ((repeat & 0xFFFu) << 12)};
}

bool SampleMaker::WantsNeighbour(core::PhiloxStream& draw) const {
  return static_cast<double>(draw.Uniform()) < neighbour_probability_;
}

// Whether any view of the sample asks for the neighbour: known before an image is read.
bool SampleMaker::AnyNeighbour(int64_t task) const {
  core::PhiloxStream draw = Stream(core::DrawPurpose::kNeighbour, task, 0);
  draw.Next();  // which neighbour
  bool any = false;
  for (size_t v = 1; v < samplers_.size(); ++v) any = WantsNeighbour(draw) || any;
  return any;
}

void SampleMaker::Plan(int64_t step, int64_t first, int64_t samples, BatchSpace* space) const {
  const auto count = static_cast<size_t>(samples);
  Batch& batch = space->batch;
  batch.step = step;
  batch.indices.assign(count, 0);
  batch.labels.assign(count, -1);
  batch.records.resize(samplers_.size() * count);
  batch.record_images.resize(samplers_.size() * count);
  batch.groups = groups_;
  batch.views = batch.images = nullptr;
  batch.image_count = 0;
  if (payload_ == Payload::kViews) {
    size_t offset = 0;
    for (ViewGroup& group : batch.groups) {
      offset = AlignUp(offset);
      group.pixels = space->buffer + offset;
      offset += count * static_cast<size_t>(group.count) * ViewBytes(group.size);
    }
    batch.views = batch.groups[0].pixels;
  }
  if (payload_ != Payload::kImages) return;
  batch.images = space->buffer;
  batch.image_count = samples;
  space->neighbour_rows.assign(count, -1);
  for (size_t n = 0; neighbours_ && n < count; ++n) {
    if (AnyNeighbour(first + static_cast<int64_t>(n))) {
      space->neighbour_rows[n] = batch.image_count++;
    }
  }
}

bool SampleMaker::Make(int64_t first, int64_t place, BatchSpace* space, ViewScratch& scratch) {
  Batch& batch = space->batch;
  const int64_t task = first + place, samples = batch.size();
  const auto n = static_cast<size_t>(place);
  Loaded own, near;
  core::Image image;
  const int64_t index = ReadFrom(task, &image);
  Load(index, std::move(image), &own);
  bool replaced = own.index != order_[static_cast<size_t>(task)];

  core::PhiloxStream draw = Stream(core::DrawPurpose::kNeighbour, task, 0);
  if (neighbours_) {
    const uint32_t which = draw.Next();
    if (AnyNeighbour(task)) replaced = !ReadNeighbour(own.index, which, &near) || replaced;
  }

  size_t v = 0;
  for (const ViewGroup& group : batch.groups) {
    for (int64_t k = 0; k < group.count; ++k, ++v) {
      const bool from_near = v > 0 && neighbours_ && WantsNeighbour(draw) && near.index >= 0;
      const Loaded& loaded = from_near ? near : own;
      const size_t row = v * static_cast<size_t>(samples) + n;
      ViewParams& record = batch.records[row];
      record = samplers_[v].Draw(Stream(core::DrawPurpose::kView, task, static_cast<uint32_t>(v)),
                                 loaded.width, loaded.height, loaded.facts);
      batch.record_images[row] = loaded.index;
      if (payload_ == Payload::kImages) {
        batch.record_images[row] = from_near ? space->neighbour_rows[n] : place;
      } else if (payload_ == Payload::kViews) {
        const size_t at = static_cast<size_t>(k * samples + place) * ViewBytes(group.size);
        Execute(loaded.image, record, static_cast<int>(group.size),
                space->buffer + (group.pixels - space->buffer) + at, scratch);
      }
    }
  }
  if (payload_ == Payload::kImages) {
    CopyImage(own, place, space);
    if (space->neighbour_rows[n] >= 0) CopyImage(near, space->neighbour_rows[n], space);
  }
  batch.indices[n] = own.index;
  batch.labels[n] = source_.label(own.index);
  return replaced;
}

void SampleMaker::Load(int64_t index, core::Image image, Loaded* loaded) {
  loaded->index = index;
  loaded->image = std::move(image);
  const bool read = payload_ != Payload::kRecords;
  loaded->width = read ? loaded->image.width : uniform_size_.first;
  loaded->height = read ? loaded->image.height : uniform_size_.second;
  if (!needs_facts_) return;
  if (facts_) {
    loaded->facts = facts_->Of(index);
    return;
  }
  const std::optional<core::StainRow> stored = source_.stain(index);
  loaded->facts = &loaded->measured.emplace(loaded->image, stored ? &*stored : nullptr);
}

// A row that nobody uses, because the tile is alone or its neighbour is damaged, is black.
void SampleMaker::CopyImage(const Loaded& loaded, int64_t row, BatchSpace* space) const {
  const size_t bytes =
      static_cast<size_t>(uniform_size_.first) * static_cast<size_t>(uniform_size_.second) * 3;
  uint8_t* out = space->buffer + static_cast<size_t>(row) * bytes;
  if (loaded.index < 0) {
    std::memset(out, 0, bytes);
  } else {
    std::memcpy(out, loaded.image.pixels.data(), bytes);
  }
}

bool SampleMaker::IsDamaged(int64_t index) const {
  if (!any_damage_.load(std::memory_order_acquire)) return false;
  std::lock_guard lock(damage_mutex_);
  return damaged_.count(index) > 0;
}

void SampleMaker::NoteDamage(int64_t index, const std::string& why) {
  std::lock_guard lock(damage_mutex_);
  if (!damaged_.insert(index).second) return;
  any_damage_.store(true, std::memory_order_release);
  if (first_damage_.empty()) first_damage_ = why;
  if (++named_ > kNamedBadImages) return;
  core::LogWarning(fmt::format("{} is replaced by another image: {}", source_.name(index), why));
}

std::string SampleMaker::FirstDamage() const {
  std::lock_guard lock(damage_mutex_);
  if (!first_damage_.empty() || damaged_.empty()) return first_damage_;
  return source_.name(*damaged_.begin());
}

bool SampleMaker::TryRead(int64_t index, core::Image* image) {
  if (IsDamaged(index)) return false;
  try {
    if (payload_ == Payload::kRecords) {
      if (facts_) facts_->Of(index);  // may read the image
      return true;
    }
    *image = source_.Read(index);
  } catch (const core::DataError& error) {
    NoteDamage(index, error.what());
    return false;
  } catch (const core::StoreError& error) {
    NoteDamage(index, error.what());
    return false;
  }
  if (payload_ == Payload::kViews ||
      (image->width == uniform_size_.first && image->height == uniform_size_.second)) {
    return true;
  }
  NoteDamage(index,
             fmt::format("{} is {} x {} pixels, the set {} x {}", source_.name(index), image->width,
                         image->height, uniform_size_.first, uniform_size_.second));
  return false;
}

// The image at this place of the epoch's order, or the next one that decodes.
int64_t SampleMaker::ReadFrom(int64_t task, core::Image* image) {
  const auto size = static_cast<int64_t>(order_.size());
  const int64_t tries = std::min(size, kMostBadInARow);
  for (int64_t attempt = 0; attempt < tries; ++attempt) {
    const int64_t index = order_[static_cast<size_t>((task + attempt) % size)];
    if (TryRead(index, image)) return index;
  }
  throw core::DataError(
      fmt::format("none of {} images in a row could be read, such as {}", tries,
                  source_.name(order_[static_cast<size_t>(task)])),
      "the log names the first damaged ones; check the folder and its permissions");
}

// False when there is one that does not decode.
bool SampleMaker::ReadNeighbour(int64_t index, uint32_t draw, Loaded* loaded) {
  const std::optional<int64_t> near = neighbours_->Pick(index, draw);
  if (!near) return true;
  core::Image image;
  if (!TryRead(*near, &image)) return false;
  Load(*near, std::move(image), loaded);
  return true;
}

}  // namespace eosin::engine
