// SPDX-License-Identifier: Apache-2.0
// The directories (IFDs) of a TIFF file: TIFF 6.0 and BigTIFF, both byte orders. Parsed once into
// plain tables; no pixel is touched. What the file claims is checked against its size before
// anything is allocated: memory and bytes read stay within a few times the size of the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tiling/slides/byte_source.h"

namespace eosin::tiling {

// Caps on what a file may claim.
inline constexpr int kMaxTiffDirectories = 4096;
inline constexpr int64_t kMaxTiffSide = int64_t{1} << 31;
inline constexpr int kMaxTileSide = 16384;
inline constexpr int64_t kMaxTilePixels = int64_t{1} << 24;  // each worker holds a tile's
inline constexpr uint32_t kMaxTileBytes = 1u << 30;          // stored, of one tile

// Values of the Compression tag that the TIFF reader knows, and of others.
enum TiffCompression : uint16_t {
  kTiffNone = 1,
  kTiffLzw = 5,
  kTiffJpeg = 7,
  kTiffDeflate = 8,
  kTiffOldDeflate = 32946
};
enum TiffPhotometric : uint16_t { kTiffBlackIsZero = 1, kTiffRgb = 2, kTiffYCbCr = 6 };

// One directory, tags under the names of the standard; defaults where the file is silent.
struct TiffDirectory {
  int64_t width = 0, height = 0;
  int64_t tile_width = 0, tile_height = 0;  // 0: stored in strips
  uint16_t compression = kTiffNone;
  uint16_t photometric = 0xFFFF;  // 0xFFFF: absent
  uint16_t predictor = 1;
  uint16_t samples = 1;
  uint16_t bits = 1;  // the largest of the samples'
  uint16_t sample_format = 1;
  uint16_t planar = 1;
  uint16_t orientation = 1;
  uint16_t fill_order = 1;
  bool has_subfile_type = false;
  uint32_t subfile_type = 0;
  double x_resolution = 0, y_resolution = 0;  // 0: absent
  uint16_t resolution_unit = 2;               // 1 none, 2 inch, 3 centimeter
  std::vector<uint16_t> tags;                 // all that are there, sorted
  // Texts that OpenSlide hands on, by tag; ImageDescription is 270, Software 305.
  std::vector<std::pair<uint16_t, std::string>> texts;
  std::string xmp;
  std::vector<uint8_t> jpeg_tables;
  std::vector<uint64_t> tile_offsets;  // row-major; empty when stored in strips
  std::vector<uint32_t> tile_bytes;    // stored; claims over kMaxTileBytes become UINT32_MAX
  // Why its tiles cannot be read; empty when they can be looked up.
  std::string problem;

  bool tiled() const { return tile_width > 0 || tile_height > 0; }
  bool HasTag(uint16_t tag) const;
  // Empty when absent.
  const std::string& Text(uint16_t tag) const;
  int64_t columns() const { return (width + tile_width - 1) / tile_width; }
  int64_t rows() const { return (height + tile_height - 1) / tile_height; }
};

struct TiffFile {
  bool big_tiff = false, big_endian = false;
  std::vector<TiffDirectory> directories;  // in the order of the chain, at least one
};

// By its first bytes.
bool IsTiff(const ByteSource& source);

// SlideError, naming the file `name`, when the chain of directories is cut short, turns in a circle
// or is longer than kMaxTiffDirectories. A directory whose own tags make no sense carries a
// `problem` instead.
TiffFile ReadTiff(const ByteSource& source, const std::string& name);

// True when the first directory carries the tag. False for no TIFF and for damaged ones. Looks at
// one directory only: NDPI files over 4 GB have a chain that cannot be followed by the standard.
bool FirstDirectoryHasTag(const ByteSource& source, uint16_t tag);

}  // namespace eosin::tiling
