// SPDX-License-Identifier: Apache-2.0
// libjpeg-turbo alone, on one thread: offsets by libtiff, tiles by pread.
#include <fcntl.h>
#include <tiffio.h>
#include <turbojpeg.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "core/base/error.h"
#include "tools/bench/tiling_modes.h"

namespace eosin::bench {
namespace {

// Tiles of the first directory, as they are stored.
class StoredTiles {
 public:
  explicit StoredTiles(const std::filesystem::path& path) : tiff_(TIFFOpen(path.c_str(), "rm")) {
    uint32_t width = 0, height = 0, side = 0, tables = 0;
    void* bytes = nullptr;
    if (!tiff_ || !TIFFGetField(tiff_.get(), TIFFTAG_IMAGEWIDTH, &width) ||
        !TIFFGetField(tiff_.get(), TIFFTAG_IMAGELENGTH, &height) ||
        !TIFFGetField(tiff_.get(), TIFFTAG_TILEWIDTH, &side) ||
        !TIFFGetField(tiff_.get(), TIFFTAG_TILEOFFSETS, &offsets_) ||
        !TIFFGetField(tiff_.get(), TIFFTAG_TILEBYTECOUNTS, &counts_) ||
        !TIFFGetField(tiff_.get(), TIFFTAG_JPEGTABLES, &tables, &bytes)) {
      throw core::SlideError(path.string() + " is not a slide that the limit can read",
                             "make it with bench_tiling make");
    }
    columns_ = (width + side - 1) / side;
    const auto* first = static_cast<const uint8_t*>(bytes);
    stream_.assign(first, first + tables - 2);  // without its end marker
    tables_ = stream_.size();
    file_ = open(path.c_str(), O_RDONLY);
  }
  ~StoredTiles() { close(file_); }
  StoredTiles(const StoredTiles&) = delete;
  StoredTiles& operator=(const StoredTiles&) = delete;

  int64_t columns() const { return columns_; }
  int64_t Bytes(int64_t index) const { return static_cast<int64_t>(counts_[index]); }
  // The stream as stored.
  std::span<const uint8_t> Read(int64_t index) {
    stream_.resize(tables_ + counts_[index]);
    if (pread(file_, &stream_[tables_], counts_[index], static_cast<off_t>(offsets_[index])) !=
        static_cast<ssize_t>(counts_[index])) {
      throw core::SlideError("a tile of the made slide cannot be read", "make it again");
    }
    return {&stream_[tables_], counts_[index]};
  }
  // With the tables before it; its own start marker gives way to their last two bytes.
  std::span<const uint8_t> ReadWhole(int64_t index) {
    uint8_t last[2];
    std::memcpy(last, &stream_[tables_ - 2], 2);
    stream_.resize(tables_ + counts_[index] - 2);
    if (pread(file_, &stream_[tables_ - 2], counts_[index], static_cast<off_t>(offsets_[index])) !=
        static_cast<ssize_t>(counts_[index])) {
      throw core::SlideError("a tile of the made slide cannot be read", "make it again");
    }
    std::memcpy(&stream_[tables_ - 2], last, 2);
    return stream_;
  }

 private:
  struct Close {
    void operator()(TIFF* tiff) const { TIFFClose(tiff); }
  };
  std::unique_ptr<TIFF, Close> tiff_;
  uint64_t *offsets_ = nullptr, *counts_ = nullptr;
  int64_t columns_ = 0;
  core::Bytes stream_;
  size_t tables_ = 0;
  int file_ = -1;
};

// Which patches touch each stored tile, tiles in file order. Resampled patches touch what an
// anti-aliasing filter of their scale sees beyond their edges too.
std::map<int64_t, std::vector<size_t>> Cover(const Case& asked, int64_t columns) {
  std::map<int64_t, std::vector<size_t>> cover;
  const int64_t margin = asked.resampled() ? asked.ReadSide() / kPatch : 0;
  const int64_t side = asked.ReadSide() + margin;
  for (size_t i = 0; i < asked.patches.size(); ++i) {
    const Place& p = asked.patches[i];
    const int64_t left = std::max<int64_t>(0, p.x - margin),
                  top = std::max<int64_t>(0, p.y - margin);
    for (int64_t row = top / asked.tile; row <= (p.y + side - 1) / asked.tile; ++row) {
      for (int64_t column = left / asked.tile; column <= (p.x + side - 1) / asked.tile; ++column)
        cover[row * columns + column].push_back(i);
    }
  }
  return cover;
}

// Memory of patches being filled, taken up again when a patch is complete.
class PatchPool {
 public:
  PatchPool(size_t patches, int side)
      : bytes_(static_cast<size_t>(side) * side * 3), open_(patches) {}
  struct Patch {
    std::unique_ptr<uint8_t[]> rgb;
    int64_t missing = 0;  // pixels
  };
  Patch& At(size_t i, int64_t pixels) {
    Patch& patch = open_[i];
    if (!patch.rgb) {
      patch.missing = pixels;
      if (free_.empty()) {
        patch.rgb = std::make_unique<uint8_t[]>(bytes_);
      } else {
        patch.rgb = std::move(free_.back());
        free_.pop_back();
      }
    }
    return patch;
  }
  void Release(Patch& patch) { free_.push_back(std::move(patch.rgb)); }

 private:
  size_t bytes_;
  std::vector<Patch> open_;
  std::vector<std::unique_ptr<uint8_t[]>> free_;
};

// The part of a decoded tile that a patch covers, row by row.
int64_t CopyWindow(const uint8_t* tile, int64_t tile_x, int64_t tile_y, int tile_side,
                   const Place& patch, int side, uint8_t* rgb) {
  const int64_t left = std::max(tile_x, patch.x), top = std::max(tile_y, patch.y);
  const int64_t right = std::min(tile_x + tile_side, patch.x + side);
  const int64_t bottom = std::min(tile_y + tile_side, patch.y + side);
  for (int64_t y = top; y < bottom; ++y) {
    std::memcpy(rgb + ((y - patch.y) * side + left - patch.x) * 3,
                tile + ((y - tile_y) * tile_side + left - tile_x) * 3,
                static_cast<size_t>(right - left) * 3);
  }
  return (right - left) * (bottom - top);
}

}  // namespace

int RunLimit(const Case& asked, const std::string& work, const std::filesystem::path& folder) {
  if (work != "copy" && work != "decode" && work != "patches") {
    throw core::ConfigError("the limit knows no mode " + work,
                            "modes are copy, decode and patches");
  }
  const std::filesystem::path out = folder / "limit.bin";
  const Clock clock;
  StoredTiles tiles(asked.slide);
  const auto cover = Cover(asked, tiles.columns());
  Measured measured;
  measured.version = "libjpeg-turbo by TurboJPEG";
  measured.patches = static_cast<int64_t>(asked.patches.size());
  measured.tiles_covered = static_cast<int64_t>(cover.size());
  const int side = asked.ReadSide();
  const int file = work == "copy" ? open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644) : -1;
  const std::unique_ptr<void, int (*)(void*)> turbo(tjInitDecompress(), tjDestroy);
  core::Bytes pixels(static_cast<size_t>(asked.tile) * asked.tile * 3);
  PatchPool pool(work == "patches" ? asked.patches.size() : 0, side);
  for (const auto& [index, patches] : cover) {
    measured.in_bytes += tiles.Bytes(index);
    if (work == "copy") {
      const auto stream = tiles.Read(index);
      if (write(file, stream.data(), stream.size()) != static_cast<ssize_t>(stream.size()))
        throw core::MachineError("cannot write " + out.string(), "is the disk full?");
      measured.out_bytes += static_cast<int64_t>(stream.size());
      continue;
    }
    const auto stream = tiles.ReadWhole(index);
    if (tjDecompress2(turbo.get(), stream.data(), stream.size(), pixels.data(), asked.tile, 0,
                      asked.tile, TJPF_RGB, 0) != 0) {
      throw core::SlideError("a tile of the made slide does not decode", "make it again");
    }
    ++measured.tiles_decoded;
    if (work != "patches") continue;
    const int64_t x = index % tiles.columns() * asked.tile,
                  y = index / tiles.columns() * asked.tile;
    for (const size_t i : patches) {
      PatchPool::Patch& patch = pool.At(i, int64_t{side} * side);
      patch.missing -=
          CopyWindow(pixels.data(), x, y, asked.tile, asked.patches[i], side, patch.rgb.get());
      if (patch.missing == 0) pool.Release(patch);
    }
  }
  if (file >= 0) close(file);
  return clock.Print(asked.name, work, measured);
}

}  // namespace eosin::bench
