// SPDX-License-Identifier: Apache-2.0
#include "engine/data/mixed_source.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "core/base/error.h"

namespace eosin::engine {
namespace {

class MixedSource : public ImageSource {
 public:
  explicit MixedSource(std::vector<MixPart> parts) : parts_(std::move(parts)) {
    for (const MixPart& part : parts_) {
      if (!(part.weight > 0) || !std::isfinite(part.weight)) {
        throw core::ConfigError(fmt::format("weight {} of {} is out of range", part.weight,
                                            part.name.empty() ? "a set" : part.name),
                                "weights are numbers above 0, such as 2:tiles/lung");
      }
      firsts_.push_back(size_);
      size_ += part.source->size();
      std::vector<int64_t> classes;
      for (const std::string& name : part.source->classes()) {
        const auto found = std::find(classes_.begin(), classes_.end(), name);
        classes.push_back(found - classes_.begin());
        if (found == classes_.end()) classes_.push_back(name);
      }
      class_of_.push_back(std::move(classes));
    }
  }

  int64_t size() const override { return size_; }
  core::Image Read(int64_t index) const override {
    const Place at = Find(index);
    return Source(at).Read(at.index);
  }
  std::string name(int64_t index) const override {
    const Place at = Find(index);
    const std::string& prefix = parts_[at.part].name;
    return prefix.empty() ? Source(at).name(at.index) : prefix + "/" + Source(at).name(at.index);
  }
  std::string group(int64_t index) const override {
    const Place at = Find(index);
    return Source(at).group(at.index);
  }
  bool has_groups() const override {
    return std::all_of(parts_.begin(), parts_.end(),
                       [](const MixPart& part) { return part.source->has_groups(); });
  }
  int64_t label(int64_t index) const override {
    const Place at = Find(index);
    const int64_t label = Source(at).label(at.index);
    return label < 0 ? -1 : class_of_[at.part].at(static_cast<size_t>(label));
  }
  const std::vector<std::string>& classes() const override { return classes_; }

  std::pair<int, int> uniform_size() const override {
    std::pair<int, int> common{0, 0};
    for (const MixPart& part : parts_) {
      if (part.source->size() == 0) continue;
      const std::pair<int, int> size = part.source->uniform_size();
      if (size.first == 0 || (common.first != 0 && size != common)) return {0, 0};
      common = size;
    }
    return common;
  }
  std::optional<core::StainRow> stain(int64_t index) const override {
    const Place at = Find(index);
    return Source(at).stain(at.index);
  }
  std::optional<TilePlace> place(int64_t index) const override {
    const Place at = Find(index);
    std::optional<TilePlace> place = Source(at).place(at.index);
    const auto count = static_cast<int64_t>(parts_.size());
    if (place) place->slide = place->slide * count + static_cast<int64_t>(at.part);
    return place;
  }
  std::string split(int64_t index) const override {
    const Place at = Find(index);
    return Source(at).split(at.index);
  }
  std::vector<double> part_weights() const override {
    std::vector<double> weights;
    for (const MixPart& part : parts_) weights.push_back(part.weight);
    return weights;
  }
  int64_t part(int64_t index) const override { return static_cast<int64_t>(Find(index).part); }

 private:
  struct Place {
    size_t part;
    int64_t index;
  };
  Place Find(int64_t index) const {
    if (index < 0 || index >= size_) throw std::out_of_range("image index");
    const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), index);
    const auto part = static_cast<size_t>(after - firsts_.begin()) - 1;
    return {part, index - firsts_[part]};
  }
  const ImageSource& Source(const Place& at) const { return *parts_[at.part].source; }

  std::vector<MixPart> parts_;
  std::vector<int64_t> firsts_;
  std::vector<std::vector<int64_t>> class_of_;  // of a part's class: its class here
  std::vector<std::string> classes_;
  int64_t size_ = 0;
};

[[noreturn]] void RefuseEntry(const std::string& entry) {
  throw core::ConfigError(fmt::format("data.mix: \"{}\" is no weight and path", entry),
                          "write a number above 0, a colon and a path, such as \"2:tiles/lung\"");
}

}  // namespace

std::unique_ptr<ImageSource> MixSources(std::vector<MixPart> parts) {
  return std::make_unique<MixedSource>(std::move(parts));
}

std::unique_ptr<ImageSource> OpenMix(const std::vector<std::string>& entries) {
  if (entries.empty()) throw core::ConfigError("data.mix is empty", "give at least one set");
  std::vector<MixPart> parts;
  std::set<std::string> names;
  bool distinct = true;
  for (const std::string& entry : entries) {
    const size_t colon = entry.find(':');
    if (colon == std::string::npos || colon + 1 == entry.size()) RefuseEntry(entry);
    MixPart part;
    const char* end = entry.data() + colon;
    const auto [stop, error] = std::from_chars(entry.data(), end, part.weight);
    if (error != std::errc() || stop != end || !std::isfinite(part.weight) || part.weight <= 0) {
      RefuseEntry(entry);
    }
    std::filesystem::path path = std::filesystem::path(entry.substr(colon + 1)).lexically_normal();
    if (!path.has_filename() && path.has_relative_path()) path = path.parent_path();
    part.name = path.filename().string();
    distinct = names.insert(part.name).second && distinct;
    parts.push_back(std::move(part));
    parts.back().source = OpenImageSource(path);
  }
  if (parts.size() == 1) return std::move(parts[0].source);
  for (size_t p = 0; !distinct && p < parts.size(); ++p) {
    parts[p].name = fmt::format("{}:{}", p + 1, parts[p].name);
  }
  return MixSources(std::move(parts));
}

}  // namespace eosin::engine
