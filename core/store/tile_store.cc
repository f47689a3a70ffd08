// SPDX-License-Identifier: Apache-2.0
#include "core/store/tile_store.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace eosin::core {
namespace {

constexpr const char* kFormat = "eosin-tiles";
constexpr int64_t kVersion = 1;
constexpr int64_t kBytesChunk = int64_t{1} << 20;
constexpr int64_t kCoordsChunk = 4096;
constexpr int64_t kMaxTileSize = 16384;
constexpr const char* kMakeAgain = "make it again with eosin tile --overwrite";

}  // namespace

double TileStoreInfo::Mpp() const { return std::sqrt(mpp_x * mpp_y); }

std::string TileStoreInfo::SlideStem() const {
  return std::filesystem::path(slide_name).stem().string();
}

TileStoreWriter::TileStoreWriter(const std::filesystem::path& path, TileStoreInfo info)
    : info_(std::move(info)),
      target_(path),
      file_(hdf5::File::Create(target_.part_path())),
      bytes_(file_.CreateGroup("tiles").CreateBytes("bytes", kBytesChunk)) {
  chunk_.reserve(kBytesChunk);
  bytes_.SetAttribute("encoding", info_.encoding);
}

TileStoreWriter::~TileStoreWriter() = default;

void TileStoreWriter::Append(int64_t x, int64_t y, std::span<const uint8_t> bytes, float tissue,
                             TileStatus status) {
  coords_.push_back(x);
  coords_.push_back(y);
  tissue_.push_back(tissue);
  status_.push_back(static_cast<uint8_t>(status));
  offsets_.push_back(offsets_.back() + bytes.size());
  while (!bytes.empty()) {
    const size_t room = static_cast<size_t>(kBytesChunk) - chunk_.size();
    const size_t take = std::min(room, bytes.size());
    chunk_.insert(chunk_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(take));
    bytes = bytes.subspan(take);
    if (take == room) FlushChunk();
  }
}

void TileStoreWriter::FlushChunk() {
  if (chunk_.empty()) return;
  const int64_t size = flushed_ + static_cast<int64_t>(chunk_.size());
  chunk_.resize(kBytesChunk, 0);
  bytes_.WriteChunk(flushed_, chunk_, size);
  flushed_ = size;
  chunk_.clear();
}

void TileStoreWriter::SetPreview(const std::string& name, const Bytes& jpeg) {
  previews_.emplace_back(name, jpeg);
}

void TileStoreWriter::SetLabels(const std::string& name, std::vector<int64_t> class_ids) {
  labels_.emplace_back(name, std::move(class_ids));
}

void TileStoreWriter::WriteCoords() {
  hdf5::Dataset coords =
      file_.CreateDataset<int64_t>("coords", coords_, {size(), 2}, {kCoordsChunk, 2});
  const std::string stem = info_.SlideStem();
  coords.SetAttribute("name", stem);
  coords.SetAttribute("patch_size", info_.tile_size);
  // TRIDENT
  coords.SetAttribute("patch_size_level0", info_.patch_size_level0);
  if (info_.Mpp() > 0 && info_.tile_mpp > 0) {
    coords.SetAttribute("level0_magnification", 10 / info_.Mpp());
    coords.SetAttribute("target_magnification", 10 / info_.tile_mpp);
  }
  coords.SetAttribute("overlap", info_.tile_size - info_.stride);
  coords.SetAttribute("savetodir", std::string("."));
  coords.SetAttribute("level0_width", info_.width);
  coords.SetAttribute("level0_height", info_.height);
  // CLAM reads patch_size pixels at patch_level. Without a level of the tiles' scale patch_level
  // stays out, so that CLAM stops instead of reading another field of view.
  coords.SetAttribute("save_path", std::string("."));
  coords.SetAttribute("level_dim", std::vector<int64_t>{info_.width, info_.height});
  if (info_.patch_level >= 0) {
    const std::vector<int64_t> dims = {info_.level_width, info_.level_height};
    coords.SetAttribute("level_dim", dims);
    coords.SetAttribute("downsampled_level_dim", dims);
    coords.SetAttribute("downsample", std::vector<double>{info_.downsample, info_.downsample});
    coords.SetAttribute("patch_level", info_.patch_level);
    coords.SetAttribute("clam", std::string("ok"));
  } else {
    coords.SetAttribute("downsample", std::vector<double>{info_.downsample, info_.downsample});
    coords.SetAttribute(
        "clam", fmt::format("no pyramid level is within 1 % of {:.6g} um/px, so there is no "
                            "patch_level for CLAM; eosin tile --export clam writes coordinates for "
                            "level 0",
                            info_.tile_mpp));
  }
}

void TileStoreWriter::Finish() {
  FlushChunk();
  bytes_.Close();
  {
    hdf5::Group tiles = file_.OpenGroup("tiles");
    tiles.CreateDataset<uint64_t>("offsets", offsets_, {size() + 1});
  }
  WriteCoords();
  file_.CreateDataset<float>("tissue", tissue_, {size()});
  file_.CreateDataset<uint8_t>("status", status_, {size()});
  if (!labels_.empty()) {
    hdf5::Group group = file_.CreateGroup("labels");
    for (const auto& [name, ids] : labels_) {
      if (static_cast<int64_t>(ids.size()) != size()) {
        throw DataError(
            fmt::format("labels {} name {} tiles, the store has {}", name, ids.size(), size()),
            "give one class id a tile");
      }
      group.CreateDataset<int64_t>(name, ids, {size()});
    }
  }
  if (!previews_.empty()) {
    hdf5::Group group = file_.CreateGroup("preview");
    for (const auto& [name, jpeg] : previews_) {
      group.CreateDataset<uint8_t>(name, jpeg, {static_cast<int64_t>(jpeg.size())});
    }
  }
  file_.SetAttribute("format", std::string(kFormat));
  file_.SetAttribute("version", kVersion);
  file_.SetAttribute("slide", info_.slide_name);
  file_.SetAttribute("slide_hash", info_.slide_hash);
  file_.SetAttribute("vendor", info_.vendor);
  file_.SetAttribute("width", info_.width);
  file_.SetAttribute("height", info_.height);
  file_.SetAttribute("mpp_x", info_.mpp_x);
  file_.SetAttribute("mpp_y", info_.mpp_y);
  file_.SetAttribute("mpp_source", info_.mpp_source);
  file_.SetAttribute("objective_power", info_.objective_power);
  file_.SetAttribute("bounds", std::vector<int64_t>(info_.bounds.begin(), info_.bounds.end()));
  file_.SetAttribute("tile_size", info_.tile_size);
  file_.SetAttribute("tile_mpp", info_.tile_mpp);
  file_.SetAttribute("stride", info_.stride);
  file_.SetAttribute("encoding", info_.encoding);
  file_.SetAttribute("settings", info_.settings);
  file_.SetAttribute("patch_size_level0", info_.patch_size_level0);
  file_.SetAttribute("patch_level", info_.patch_level);
  file_.SetAttribute("downsample", info_.downsample);
  file_.SetAttribute("level_dim", std::vector<int64_t>{info_.level_width, info_.level_height});
  file_.SetAttribute("software", std::string("eosin ") + EOSIN_VERSION);
  file_.SetAttribute("complete", int64_t{1});
  file_.Close();
  target_.Commit();
}

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
}

void TileStoreReader::Refuse(const std::string& why) const {
  throw StoreError("tile store " + path_.string() + " is damaged: " + why, kMakeAgain);
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
  bytes_ = tiles.OpenDataset("bytes");
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
  if (bytes_.shape().size() != 1) Refuse("tiles/bytes is not one-dimensional");
  coords_ = coords.Read<int64_t>();
  offsets_ = offsets.Read<uint64_t>();
  tissue_ = tissue.Read<float>();
  status_ = status.Read<uint8_t>();
  if (offsets_.front() != 0 || !std::is_sorted(offsets_.begin(), offsets_.end()) ||
      offsets_.back() > static_cast<uint64_t>(bytes_.shape()[0])) {
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

TileStoreReader::Point TileStoreReader::coords(int64_t i) const {
  const size_t k = 2 * static_cast<size_t>(i);
  return {coords_.at(k), coords_.at(k + 1)};
}

Bytes TileStoreReader::ReadBytes(int64_t i) const {
  const uint64_t begin = offsets_.at(static_cast<size_t>(i));
  const uint64_t end = offsets_.at(static_cast<size_t>(i) + 1);
  return bytes_.Read<uint8_t>(static_cast<int64_t>(begin), static_cast<int64_t>(end - begin));
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

std::vector<int64_t> TileStoreReader::ReadLabels(const std::string& name) const {
  const std::vector<std::string> names = label_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw StoreError(fmt::format("{} has no class ids named {}", path_.string(), name),
                     names.empty() ? "it has no labels at all"
                                   : fmt::format("it has {}", fmt::join(names, ", ")));
  }
  const hdf5::Dataset labels = file_.OpenGroup("labels").OpenDataset(name);
  if (labels.shape() != std::vector<int64_t>{size()}) {
    Refuse(fmt::format("labels/{} has not {} elements", name, size()));
  }
  return labels.Read<int64_t>();
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

void WriteClamCoords(const std::filesystem::path& path, const TileStoreReader& store) {
  const TileStoreInfo& info = store.info();
  std::vector<int64_t> coords;
  for (int64_t i = 0; i < store.size(); ++i) {
    if (store.status(i) == TileStatus::kBad) continue;
    coords.push_back(store.coords(i).x);
    coords.push_back(store.coords(i).y);
  }
  AtomicFile target(path);
  hdf5::File file = hdf5::File::Create(target.part_path());
  {
    const int64_t count = static_cast<int64_t>(coords.size() / 2);
    hdf5::Dataset dataset =
        file.CreateDataset<int64_t>("coords", coords, {count, 2}, {kCoordsChunk, 2});
    const std::vector<int64_t> dims = {info.width, info.height};
    dataset.SetAttribute("patch_size", info.patch_size_level0);
    dataset.SetAttribute("patch_level", int64_t{0});
    dataset.SetAttribute("downsample", std::vector<double>{1, 1});
    dataset.SetAttribute("downsampled_level_dim", dims);
    dataset.SetAttribute("level_dim", dims);
    dataset.SetAttribute("name", info.SlideStem());
    dataset.SetAttribute("save_path", std::string("."));
  }
  file.Close();
  target.Commit();
}

}  // namespace eosin::core
