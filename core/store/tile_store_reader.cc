// SPDX-License-Identifier: Apache-2.0
#include "core/store/tile_store.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"
#include "core/store/schema.h"

namespace eosin::core {

using namespace schema;

TileStoreReader::TileStoreReader(const std::filesystem::path& path)
    : path_(path), file_(hdf5::File::Open(path)) {
  if (!file_.HasAttribute("format") || file_.GetString("format") != kFormat) {
    throw StoreError(path.string() + " is HDF5 but not a tile store",
                     "give a store made by eosin tile");
  }
  const int64_t version = file_.GetInt64("version");
  if (version != kVersion) {
    throw StoreError(fmt::format("{} has schema version {}; this eosin reads version {}",
                                 path.string(), version, kVersion),
                     "use the eosin that made it, or make it again");
  }
  if (!file_.HasAttribute("complete") || file_.GetInt64("complete") != 1) {
    Refuse("it was never finished");
  }
  ReadInfo();
  ReadIndex();
  CheckOptional();
}

void TileStoreReader::Refuse(const std::string& why) const {
  throw StoreError("tile store " + path_.string() + " is damaged: " + why, kMakeAgain);
}

// Throws when `name` is none of `names`.
void TileStoreReader::CheckName(const std::string& what, const std::string& name,
                                const std::vector<std::string>& names) const {
  if (std::find(names.begin(), names.end(), name) != names.end()) return;
  throw StoreError(
      fmt::format("{} has no {} named {}", path_.string(), what, name),
      names.empty() ? "it has none at all" : fmt::format("it has {}", fmt::join(names, ", ")));
}

void TileStoreReader::ReadInfo() {
  info_.slide_name = file_.GetString("slide");
  info_.slide_hash = file_.GetString("slide_hash");
  info_.vendor = file_.GetString("vendor");
  info_.width = file_.GetInt64("width");
  info_.height = file_.GetInt64("height");
  info_.mpp_x = file_.GetDouble("mpp_x");
  info_.mpp_y = file_.GetDouble("mpp_y");
  info_.mpp_source = file_.GetString("mpp_source");
  info_.objective_power = file_.GetDouble("objective_power");
  const std::vector<int64_t> bounds = file_.GetInt64s("bounds");
  if (bounds.size() != 4) Refuse("attribute bounds has not 4 numbers");
  std::copy(bounds.begin(), bounds.end(), info_.bounds.begin());
  info_.tile_size = file_.GetInt64("tile_size");
  info_.tile_mpp = file_.GetDouble("tile_mpp");
  info_.stride = file_.GetInt64("stride");
  info_.encoding = file_.GetString("encoding");
  info_.settings = file_.GetString("settings");
  info_.patch_size_level0 = file_.GetInt64("patch_size_level0");
  info_.patch_level = file_.GetInt64("patch_level");
  info_.downsample = file_.GetDouble("downsample");
  const std::vector<int64_t> level_dim = file_.GetInt64s("level_dim");
  if (level_dim.size() != 2) Refuse("attribute level_dim has not 2 numbers");
  info_.level_width = level_dim[0];
  info_.level_height = level_dim[1];
  if (file_.HasAttribute("patient")) info_.patient = file_.GetString("patient");
  info_.software = file_.GetString("software");
  if (info_.tile_size < 1 || info_.tile_size > kMaxTileSize) {
    Refuse(fmt::format("tile_size is {}", info_.tile_size));
  }
  if (info_.encoding != "jpeg" && info_.encoding != "png" && info_.encoding != "raw") {
    Refuse("encoding is " + info_.encoding);
  }
}

void TileStoreReader::ReadIndex() {
  const hdf5::Dataset coords = file_.OpenDataset("coords");
  const hdf5::Group tiles = file_.OpenGroup("tiles");
  const hdf5::Dataset offsets = tiles.OpenDataset("offsets");
  const hdf5::Dataset tissue = file_.OpenDataset("tissue");
  const hdf5::Dataset status = file_.OpenDataset("status");
  hdf5::Dataset bytes = tiles.OpenDataset("bytes");
  if (coords.shape().size() != 2 || coords.shape()[1] != 2) Refuse("coords is not N x 2");
  const int64_t count = coords.shape()[0];
  auto check = [&](const hdf5::Dataset& dataset, int64_t length, const char* name) {
    if (dataset.shape() != std::vector<int64_t>{length}) {
      Refuse(fmt::format("{} has not {} elements", name, length));
    }
  };
  check(offsets, count + 1, "tiles/offsets");
  check(tissue, count, "tissue");
  check(status, count, "status");
  if (bytes.shape().size() != 1) Refuse("tiles/bytes is not one-dimensional");
  bytes_ = ByteReader(std::move(bytes), path_.string());
  coords_ = coords.Read<int64_t>();
  offsets_ = offsets.Read<uint64_t>();
  tissue_ = tissue.Read<float>();
  status_ = status.Read<uint8_t>();
  if (offsets_.front() != 0 || !std::is_sorted(offsets_.begin(), offsets_.end()) ||
      offsets_.back() > static_cast<uint64_t>(bytes_.size())) {
    Refuse("tiles/offsets do not rise within tiles/bytes");
  }
  const uint64_t most = 8 * 3 * static_cast<uint64_t>(info_.tile_size * info_.tile_size) + 65536;
  const uint64_t raw = 3 * static_cast<uint64_t>(info_.tile_size * info_.tile_size);
  for (size_t i = 0; i < status_.size(); ++i) {
    const uint64_t length = offsets_[i + 1] - offsets_[i];
    const bool bad = status_[i] == static_cast<uint8_t>(TileStatus::kBad);
    if (status_[i] > static_cast<uint8_t>(TileStatus::kBad)) {
      Refuse(fmt::format("status of tile {} is {}", i, status_[i]));
    }
    if (length > most || (length == 0) != bad ||
        (!bad && info_.encoding == "raw" && length != raw)) {
      Refuse(fmt::format("tile {} has {} bytes", i, length));
    }
  }
}

// What is there only sometimes has the right shape, so that later reads need not ask.
void TileStoreReader::CheckOptional() {
  const std::vector<int64_t> per_tile = {size()};
  if (file_.Has("quality")) {
    const hdf5::Group group = file_.OpenGroup("quality");
    for (const std::string& name : group.Names()) {
      if (group.OpenDataset(name).shape() != per_tile) {
        Refuse(fmt::format("quality/{} has not {} elements", name, size()));
      }
    }
  }
  if (file_.Has("stain")) {
    const std::vector<int64_t> shape = {size(), static_cast<int64_t>(stain_columns().size())};
    if (file_.OpenDataset("stain").shape() != shape) {
      Refuse(fmt::format("stain is not {} x {}", shape[0], shape[1]));
    }
  }
  if (!file_.Has("labels")) return;
  const hdf5::Group labels = file_.OpenGroup("labels");
  for (const std::string& name : labels.Names()) {
    if (!labels.IsDataset(name)) {
      ReadMasks(name);
    } else if (labels.OpenDataset(name).shape() != per_tile) {
      Refuse(fmt::format("labels/{} has not {} elements", name, size()));
    }
  }
}

void TileStoreReader::ReadMasks(const std::string& name) {
  const std::string path = "labels/" + name;
  const hdf5::Group group = file_.OpenGroup("labels").OpenGroup(name);
  const hdf5::Dataset offsets = group.OpenDataset("offsets");
  hdf5::Dataset bytes = group.OpenDataset("bytes");
  if (bytes.shape().size() != 1) Refuse(path + "/bytes is not one-dimensional");
  if (offsets.shape() != std::vector<int64_t>{size() + 1}) {
    Refuse(fmt::format("{}/offsets has not {} elements", path, size() + 1));
  }
  Masks masks;
  masks.offsets = offsets.Read<uint64_t>();
  masks.bytes = ByteReader(std::move(bytes), path_.string());
  if (masks.offsets.front() != 0 || !std::is_sorted(masks.offsets.begin(), masks.offsets.end()) ||
      masks.offsets.back() > static_cast<uint64_t>(masks.bytes.size())) {
    Refuse(path + "/offsets do not rise within its bytes");
  }
  for (size_t i = 0; i < status_.size(); ++i) {
    if (masks.offsets[i] == masks.offsets[i + 1] &&
        status_[i] != static_cast<uint8_t>(TileStatus::kBad)) {
      Refuse(fmt::format("{} has no mask of tile {}", path, i));
    }
  }
  masks_.emplace(name, std::move(masks));
}

TileStoreReader::Point TileStoreReader::coords(int64_t i) const {
  const size_t k = 2 * static_cast<size_t>(i);
  return {coords_.at(k), coords_.at(k + 1)};
}

Bytes TileStoreReader::ReadBytes(int64_t i) const {
  const uint64_t begin = offsets_.at(static_cast<size_t>(i));
  const uint64_t end = offsets_.at(static_cast<size_t>(i) + 1);
  return bytes_.Read(static_cast<int64_t>(begin), static_cast<int64_t>(end - begin));
}

Image TileStoreReader::Decode(int64_t i) const {
  const std::string source = fmt::format("tile {} of {}", i, path_.string());
  Bytes bytes = ReadBytes(i);
  if (bytes.empty()) {
    throw StoreError(source + " is marked bad: its pixels could not be read from the slide",
                     "skip tiles whose status is 3");
  }
  const int side = static_cast<int>(info_.tile_size);
  Image image;
  if (info_.encoding == "raw") {
    image.width = image.height = side;
    image.pixels = std::move(bytes);
  } else {
    image = DecodeRgb(bytes, source);
  }
  if (image.width != side || image.height != side) {
    throw StoreError(
        fmt::format("{} is {} x {} px, not {}", source, image.width, image.height, side),
        kMakeAgain);
  }
  return image;
}

std::vector<std::string> TileStoreReader::label_names() const {
  std::vector<std::string> names;
  if (!file_.Has("labels")) return names;
  const hdf5::Group group = file_.OpenGroup("labels");
  for (const std::string& name : group.Names()) {
    if (group.IsDataset(name)) names.push_back(name);
  }
  return names;
}

std::vector<std::string> TileStoreReader::mask_names() const {
  std::vector<std::string> names;
  for (const auto& [name, masks] : masks_) names.push_back(name);
  return names;
}

std::vector<int64_t> TileStoreReader::ReadLabels(const std::string& name) const {
  CheckName("class ids", name, label_names());
  return file_.OpenGroup("labels").OpenDataset(name).Read<int64_t>();
}

Bytes TileStoreReader::ReadLabelMaskBytes(const std::string& name, int64_t i) const {
  CheckName("masks", name, mask_names());
  const Masks& masks = masks_.at(name);
  const uint64_t begin = masks.offsets.at(static_cast<size_t>(i));
  const uint64_t end = masks.offsets.at(static_cast<size_t>(i) + 1);
  return masks.bytes.Read(static_cast<int64_t>(begin), static_cast<int64_t>(end - begin));
}

Image TileStoreReader::ReadLabelMask(const std::string& name, int64_t i) const {
  const std::string source = fmt::format("mask {} of tile {} of {}", name, i, path_.string());
  const Bytes png = ReadLabelMaskBytes(name, i);
  if (png.empty()) {
    throw StoreError(source + " is not there: the tile is marked bad",
                     "skip tiles whose status is 3");
  }
  Image mask = DecodeMask(png, source);
  if (mask.width != info_.tile_size || mask.height != info_.tile_size) {
    throw StoreError(
        fmt::format("{} is {} x {} px, not {}", source, mask.width, mask.height, info_.tile_size),
        kMakeAgain);
  }
  return mask;
}

std::string TileStoreReader::LabelClasses(const std::string& name) const {
  const auto classes = [](const hdf5::Object& object) {
    return object.HasAttribute("classes") ? object.GetString("classes") : "";
  };
  if (masks_.contains(name)) return classes(file_.OpenGroup("labels").OpenGroup(name));
  CheckName("labels", name, label_names());
  return classes(file_.OpenGroup("labels").OpenDataset(name));
}

std::vector<std::string> TileStoreReader::quality_names() const {
  if (!file_.Has("quality")) return {};
  return file_.OpenGroup("quality").Names();
}

std::vector<float> TileStoreReader::ReadQuality(const std::string& name) const {
  CheckName("scores", name, quality_names());
  return file_.OpenGroup("quality").OpenDataset(name).Read<float>();
}

std::vector<std::string> TileStoreReader::stain_columns() const {
  std::vector<std::string> columns;
  if (!file_.Has("stain")) return columns;
  const std::string text = file_.OpenDataset("stain").GetString("columns");
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    columns.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return columns;
}

std::vector<float> TileStoreReader::ReadStain() const {
  if (!file_.Has("stain")) {
    throw StoreError(path_.string() + " has no stain statistics",
                     "make it again with eosin tile --stain statistics");
  }
  return file_.OpenDataset("stain").Read<float>();
}

std::vector<std::string> TileStoreReader::preview_names() const {
  if (!file_.Has("preview")) return {};
  return file_.OpenGroup("preview").Names();
}

Bytes TileStoreReader::ReadPreview(const std::string& name) const {
  if (!file_.Has("preview")) Refuse("it has no previews");
  return file_.OpenGroup("preview").OpenDataset(name).Read<uint8_t>();
}

bool TileStoreReader::LooksLikeStore(const std::filesystem::path& path) noexcept {
  try {
    const hdf5::File file = hdf5::File::Open(path);
    return file.HasAttribute("format") && file.GetString("format") == kFormat;
  } catch (...) {
    return false;
  }
}

}  // namespace eosin::core
