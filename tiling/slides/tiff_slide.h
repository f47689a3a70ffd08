// SPDX-License-Identifier: Apache-2.0
// Aperio SVS and generic tiled TIFF, read without OpenSlide: offset tables parsed once, one pread a
// tile, decoded where it lands. Levels, downsamples, properties and pixels are OpenSlide's
// (openslide-vendor-aperio.c, openslide-vendor-generic-tiff.c), except that
//   - a level's pixels are the stored tiles' (OpenSlide resamples levels whose downsample is no
//     whole number),
//   - a tile of no bytes is a bad tile (OpenSlide fills Aperio's from the level below),
//   - tiles of levels smaller than one tile are read (OpenSlide 3 misreads them).
// Left to OpenSlide: NDPI, Leica, Philips, Trestle, Ventana, Olympus, Huron, Argos; JPEG 2000 and
// every compression but none, LZW, deflate and JPEG; samples that are not 8-bit RGB or grey (alpha,
// palette, 16 bits, planes apart); turned pictures.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tiling/slides/byte_source.h"
#include "tiling/slides/slide.h"
#include "tiling/slides/tiff_directory.h"
#include "tiling/slides/tile_codec.h"

namespace eosin::tiling {

class TiffSlide : public Slide {
 public:
  // Null, with the reason, when the file is left to OpenSlide. SlideError when it is a damaged
  // TIFF.
  static std::unique_ptr<TiffSlide> Open(const fs::path& path, std::string* why_not);
  // The same from any bytes; `path` serves for messages and associated pictures.
  static std::unique_ptr<TiffSlide> Open(std::unique_ptr<ByteSource> source, const fs::path& path,
                                         std::string* why_not);

  std::unique_ptr<TileDecoder> NewDecoder() const override;
  bool StoresJpeg(int level) const override;
  int64_t StoredBytes(int level, int64_t index) const override;
  bool AppendJpeg(int level, int64_t index, core::Bytes* out, std::string* error) const override;
  std::vector<std::string> associated_names() const override { return associated_names_; }
  // Through OpenSlide.
  core::Image ReadAssociated(const std::string& name) const override;

 private:
  friend class TiffTileDecoder;

  struct Level {
    std::vector<uint64_t> offsets;
    std::vector<uint32_t> bytes;
    uint64_t largest = 0;  // bytes a stored tile of this size may have
    TileFormat format;
    std::unique_ptr<JpegWrapper> wrapper;  // when the level stores JPEG
  };

  TiffSlide() = default;
  void AddLevel(TiffDirectory* directory);
  // Reads tile `index` behind the first `room` bytes of *out, from `begin` on.
  bool ReadStored(int level, int64_t index, size_t room, core::Bytes* out,
                  std::string* error) const;

  std::unique_ptr<ByteSource> source_;
  std::vector<Level> stored_;
  std::vector<std::string> associated_names_;
};

}  // namespace eosin::tiling
