// SPDX-License-Identifier: Apache-2.0
// Tile stores: one HDF5 file a slide, schema version 1 (docs/tile-store.md).
//
//   coords         int64 (N,2)  level-0 x, y of each tile's upper left corner; attributes for CLAM
//                               and TRIDENT
//   tiles/bytes    uint8 (M,)   encoded tiles back to back: JPEG, PNG or raw (HWC RGB)
//   tiles/offsets  uint64 (N+1) tile i is bytes[offsets[i]:offsets[i+1]]; empty when status is bad
//   tissue         float32 (N)  tissue share, 0-1
//   quality/<name> float32 (N)  scores 0-1 (blur, pen, white, black, fold), optional
//   stain          float32 (N,k) attr `columns` (core/stain/tile_stain.h), optional
//   status         uint8 (N)    TileStatus
//   labels/<name>  int64 (N)    class ids, optional; or a group of
//     bytes, offsets            PNG masks of class ids, as tiles/; attr `classes` is their map
//   preview/<name> uint8        JPEG bytes, optional
//
// Each dataset carries `xxh3`, the XXH3-128 of its elements, and the root one of all attributes, so
// that a store can be verified (store_check.h).
//
// Stores hold nothing that depends on where, when or with how many threads they were made.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/image/codec.h"
#include "core/image/image.h"
#include "core/store/byte_reader.h"
#include "core/store/hdf5.h"

namespace eosin::core {

enum class TileStatus : uint8_t { kOk = 0, kRepaired = 1, kBlank = 2, kBad = 3 };

// Facts about the slide and the grid. Lengths in level-0 pixels unless said otherwise.
struct TileStoreInfo {
  std::string slide_name;  // file name with extension, no folder
  std::string slide_hash;  // core::QuickHash of the slide file
  std::string vendor;      // OpenSlide's word, e.g. "aperio"
  int64_t width = 0;
  int64_t height = 0;
  double mpp_x = 0;  // um per level-0 pixel
  double mpp_y = 0;
  std::string mpp_source;           // e.g. "openslide.mpp-x", "override"
  double objective_power = 0;       // 0 unknown
  std::array<int64_t, 4> bounds{};  // x, y, width, height of the scanned part
  int64_t tile_size = 0;            // output pixels
  double tile_mpp = 0;              // um per output pixel
  int64_t stride = 0;               // output pixels
  std::string encoding = "jpeg";    // "jpeg", "png" or "raw"
  std::string settings = "{}";      // JSON: what changed content, and nothing else
  int64_t patch_size_level0 = 0;    // side of a tile
  int64_t patch_level = -1;  // the level whose pixels the tiles are (within 1 %); -1: resampled
  double downsample = 1;     // of that level; level-0 pixels per output pixel when resampled
  int64_t level_width = 0;   // of patch_level; 0 when resampled
  int64_t level_height = 0;
  std::string patient;   // who the slide is of, when the user said so
  std::string software;  // set by the writer, e.g. "eosin 0.1.0"

  double Mpp() const;             // geometric mean of mpp_x and mpp_y
  std::string SlideStem() const;  // slide_name without its extension
};

// Writes one store. Nothing appears under `path` until Finish; without it the part file is removed.
// Not thread-safe. Disk errors throw MachineError.
class TileStoreWriter {
 public:
  TileStoreWriter(const std::filesystem::path& path, TileStoreInfo info);
  ~TileStoreWriter();
  TileStoreWriter(const TileStoreWriter&) = delete;
  TileStoreWriter& operator=(const TileStoreWriter&) = delete;

  // Makes room for so many tiles; optional.
  void Reserve(int64_t tiles);
  // bytes: the tile in the store's encoding; empty if and only if status is kBad. They are checked
  // neither for their size nor for being pictures.
  void Append(int64_t x, int64_t y, std::span<const uint8_t> bytes, float tissue = 1,
              TileStatus status = TileStatus::kOk);
  void SetPreview(const std::string& name, const Bytes& jpeg);
  // One value a tile, in the order of Append; Finish throws DataError where a count differs.
  void SetLabels(const std::string& name, std::vector<int64_t> class_ids,
                 const std::string& classes);
  // PNG masks; classes: what the ids mean, as tiling::ClassMap writes it.
  void SetLabelMasks(const std::string& name, std::vector<Bytes> masks, const std::string& classes);
  void SetQuality(const std::string& name, std::vector<float> scores);
  // rows: (tiles, columns.size()), row-major.
  void SetStain(std::vector<float> rows, const std::vector<std::string>& columns);
  int64_t size() const { return static_cast<int64_t>(status_.size()); }
  TileStatus status(int64_t i) const {
    return static_cast<TileStatus>(status_.at(static_cast<size_t>(i)));
  }
  int64_t bytes() const { return static_cast<int64_t>(offsets_.back()); }
  void Finish();

 private:
  struct Labels {
    std::string name, classes;
    std::vector<int64_t> ids;
    std::vector<Bytes> masks;
    bool is_mask = false;
  };
  void FlushChunk();
  void WriteCoords();
  void WriteQuality();
  void WriteLabels();
  void WriteInfo();

  TileStoreInfo info_;
  AtomicFile target_;
  hdf5::File file_;
  hdf5::Dataset bytes_;
  Bytes chunk_;  // the chunk being filled, and how far it is
  size_t filled_ = 0;
  int64_t flushed_ = 0;  // bytes in the file
  std::vector<int64_t> coords_;
  std::vector<uint64_t> offsets_{0};
  std::vector<float> tissue_;
  std::vector<uint8_t> status_;
  Xxh3 hash_;  // of tiles/bytes
  std::vector<Labels> labels_;
  std::vector<std::pair<std::string, std::vector<float>>> quality_;
  std::vector<float> stain_;
  std::vector<std::string> stain_columns_;
  std::vector<std::pair<std::string, Bytes>> previews_;
};

// Reads one store. Opening checks format, version, completeness, shapes and offsets and throws
// StoreError naming what is wrong. All methods are thread-safe; decoding runs outside the HDF5
// lock.
class TileStoreReader {
 public:
  struct Point {
    int64_t x, y;
  };

  explicit TileStoreReader(const std::filesystem::path& path);
  const std::filesystem::path& path() const { return path_; }
  const TileStoreInfo& info() const { return info_; }
  int64_t size() const { return static_cast<int64_t>(status_.size()); }

  Point coords(int64_t i) const;
  float tissue(int64_t i) const { return tissue_.at(static_cast<size_t>(i)); }
  TileStatus status(int64_t i) const {
    return static_cast<TileStatus>(status_.at(static_cast<size_t>(i)));
  }
  Bytes ReadBytes(int64_t i) const;  // encoded; empty for a bad tile
  Image Decode(int64_t i) const;     // RGB, tile_size x tile_size; StoreError for a bad tile

  std::vector<std::string> label_names() const;  // those with class ids
  std::vector<int64_t> ReadLabels(const std::string& name) const;
  std::vector<std::string> mask_names() const;                         // those with masks
  Image ReadLabelMask(const std::string& name, int64_t i) const;       // class ids, the tile's size
  Bytes ReadLabelMaskBytes(const std::string& name, int64_t i) const;  // PNG; empty for a bad tile
  std::string LabelClasses(const std::string& name) const;  // of either kind; may be empty
  std::vector<std::string> quality_names() const;
  std::vector<float> ReadQuality(const std::string& name) const;
  std::vector<std::string> stain_columns() const;  // empty without stain statistics
  std::vector<float> ReadStain() const;            // (tiles, columns), row-major
  std::vector<std::string> preview_names() const;
  Bytes ReadPreview(const std::string& name) const;  // JPEG

  // True when the file is HDF5 and says it is a tile store; says nothing about its health.
  static bool LooksLikeStore(const std::filesystem::path& path) noexcept;

 private:
  [[noreturn]] void Refuse(const std::string& why) const;
  struct Masks {
    std::vector<uint64_t> offsets;
    ByteReader bytes;
  };
  void CheckName(const std::string& what, const std::string& name,
                 const std::vector<std::string>& names) const;
  void ReadInfo();
  void ReadIndex();
  void CheckOptional();
  void ReadMasks(const std::string& name);

  std::filesystem::path path_;
  hdf5::File file_;
  ByteReader bytes_;
  TileStoreInfo info_;
  std::vector<int64_t> coords_;
  std::vector<uint64_t> offsets_;
  std::vector<float> tissue_;
  std::vector<uint8_t> status_;
  std::map<std::string, Masks> masks_;
};

// Coordinates alone in CLAM's own layout, for slides where no pyramid level has the tiles' scale:
// patch_level 0 and patch_size = patch_size_level0, so CLAM reads the same field of view.
void WriteClamCoords(const std::filesystem::path& path, const TileStoreReader& store);

}  // namespace eosin::core
