// SPDX-License-Identifier: Apache-2.0
#include "core/store/tile_store.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/store/schema.h"
#include "core/store/store_check.h"

namespace eosin::core {
namespace {

using namespace schema;

static_assert(std::endian::native == std::endian::little, "hashes are of little-endian elements");

template <typename T>
hdf5::Dataset CreateHashed(hdf5::Group& group, const std::string& name,
                           const std::vector<T>& values, const std::vector<int64_t>& shape,
                           const std::vector<int64_t>& chunk = {}) {
  hdf5::Dataset dataset = group.CreateDataset<T>(name, values, shape, chunk);
  dataset.SetAttribute(kHash, Xxh3Hex(values.data(), values.size() * sizeof(T)));
  return dataset;
}

// Datasets of one value a tile: their lengths are the store's.
void CheckCount(const std::string& what, size_t values, int64_t tiles) {
  if (static_cast<int64_t>(values) == tiles) return;
  throw DataError(fmt::format("{} has {} values, the store {} tiles", what, values, tiles),
                  "give one value a tile");
}

}  // namespace

TileStoreWriter::TileStoreWriter(const std::filesystem::path& path, TileStoreInfo info)
    : info_(std::move(info)),
      target_(path),
      file_(hdf5::File::Create(target_.part_path())),
      bytes_(file_.CreateGroup("tiles").CreateBytes("bytes", kBytesChunk)),
      chunk_(static_cast<size_t>(kBytesChunk)) {
  bytes_.SetAttribute("encoding", info_.encoding);
}

TileStoreWriter::~TileStoreWriter() = default;

void TileStoreWriter::Reserve(int64_t tiles) {
  const size_t count = static_cast<size_t>(std::max<int64_t>(tiles, 0));
  coords_.reserve(2 * count);
  offsets_.reserve(count + 1);
  tissue_.reserve(count);
  status_.reserve(count);
}

void TileStoreWriter::Append(int64_t x, int64_t y, std::span<const uint8_t> bytes, float tissue,
                             TileStatus status) {
  coords_.push_back(x);
  coords_.push_back(y);
  tissue_.push_back(tissue);
  status_.push_back(static_cast<uint8_t>(status));
  offsets_.push_back(offsets_.back() + bytes.size());
  while (!bytes.empty()) {
    const size_t take = std::min(chunk_.size() - filled_, bytes.size());
    std::memcpy(chunk_.data() + filled_, bytes.data(), take);
    filled_ += take;
    bytes = bytes.subspan(take);
    if (filled_ == chunk_.size()) FlushChunk();
  }
}

void TileStoreWriter::FlushChunk() {
  if (filled_ == 0) return;
  hash_.Update(chunk_.data(), filled_);
  std::fill(chunk_.begin() + static_cast<ptrdiff_t>(filled_), chunk_.end(), uint8_t{0});
  const int64_t size = flushed_ + static_cast<int64_t>(filled_);
  bytes_.WriteChunk(flushed_, chunk_, size);
  flushed_ = size;
  filled_ = 0;
}

void TileStoreWriter::SetPreview(const std::string& name, const Bytes& jpeg) {
  previews_.emplace_back(name, jpeg);
}

void TileStoreWriter::SetLabels(const std::string& name, std::vector<int64_t> class_ids,
                                const std::string& classes) {
  labels_.push_back({name, classes, std::move(class_ids), {}});
}

void TileStoreWriter::SetLabelMasks(const std::string& name, std::vector<Bytes> masks,
                                    const std::string& classes) {
  labels_.push_back({name, classes, {}, std::move(masks)});
  labels_.back().is_mask = true;
}

void TileStoreWriter::SetQuality(const std::string& name, std::vector<float> scores) {
  quality_.emplace_back(name, std::move(scores));
}

void TileStoreWriter::SetStain(std::vector<float> rows, const std::vector<std::string>& columns) {
  stain_ = std::move(rows);
  stain_columns_ = columns;
}

void TileStoreWriter::WriteCoords() {
  hdf5::Dataset coords =
      CreateHashed<int64_t>(file_, "coords", coords_, {size(), 2}, {kCoordsChunk, 2});
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

void TileStoreWriter::WriteQuality() {
  if (!quality_.empty()) {
    hdf5::Group group = file_.CreateGroup("quality");
    for (const auto& [name, scores] : quality_) {
      CheckCount("quality/" + name, scores.size(), size());
      CreateHashed(group, name, scores, {size()});
    }
  }
  if (stain_columns_.empty()) return;
  const int64_t columns = static_cast<int64_t>(stain_columns_.size());
  if (static_cast<int64_t>(stain_.size()) != size() * columns) {
    throw DataError(fmt::format("stain has {} values, the store {} tiles of {} columns",
                                stain_.size(), size(), columns),
                    "give one row a tile");
  }
  CreateHashed(file_, "stain", stain_, {size(), columns})
      .SetAttribute("columns", fmt::format("{}", fmt::join(stain_columns_, ",")));
}

void TileStoreWriter::WriteLabels() {
  if (labels_.empty()) return;
  hdf5::Group group = file_.CreateGroup("labels");
  for (const Labels& labels : labels_) {
    const std::string path = "labels/" + labels.name;
    if (!labels.is_mask) {
      CheckCount(path, labels.ids.size(), size());
      CreateHashed(group, labels.name, labels.ids, {size()})
          .SetAttribute("classes", labels.classes);
      continue;
    }
    CheckCount(path, labels.masks.size(), size());
    Bytes bytes;
    std::vector<uint64_t> offsets = {0};
    for (size_t i = 0; i < labels.masks.size(); ++i) {
      const Bytes& mask = labels.masks[i];
      if (mask.empty() && status_[i] != static_cast<uint8_t>(TileStatus::kBad)) {
        throw DataError(fmt::format("{} has no mask of tile {}", path, i), "give one mask a tile");
      }
      bytes.insert(bytes.end(), mask.begin(), mask.end());
      offsets.push_back(bytes.size());
    }
    hdf5::Group masks = group.CreateGroup(labels.name);
    masks.SetAttribute("classes", labels.classes);
    CreateHashed(masks, "bytes", bytes, {static_cast<int64_t>(bytes.size())});
    CreateHashed(masks, "offsets", offsets, {size() + 1});
  }
}

void TileStoreWriter::WriteInfo() {
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
  if (!info_.patient.empty()) file_.SetAttribute("patient", info_.patient);
  file_.SetAttribute("software", std::string("eosin ") + EOSIN_VERSION);
}

void TileStoreWriter::Finish() {
  FlushChunk();
  bytes_.SetAttribute(kHash, hash_.Hex());
  bytes_.Close();
  {
    hdf5::Group tiles = file_.OpenGroup("tiles");
    CreateHashed(tiles, "offsets", offsets_, {size() + 1});
  }
  WriteCoords();
  CreateHashed(file_, "tissue", tissue_, {size()});
  CreateHashed(file_, "status", status_, {size()});
  WriteQuality();
  WriteLabels();
  if (!previews_.empty()) {
    hdf5::Group group = file_.CreateGroup("preview");
    for (const auto& [name, jpeg] : previews_) {
      CreateHashed(group, name, jpeg, {static_cast<int64_t>(jpeg.size())});
    }
  }
  WriteInfo();
  file_.SetAttribute(kHash, AttributesHash(file_));
  file_.SetAttribute("complete", int64_t{1});
  file_.Close();
  target_.Commit();
}

}  // namespace eosin::core
