// SPDX-License-Identifier: Apache-2.0
// A BigTIFF being written through libtiff: its errors as MachineError, its name only at the end.
#pragma once

#include <tiffio.h>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/files.h"

namespace eosin::segment {

class TiffFile {
 public:
  explicit TiffFile(const std::filesystem::path& path);
  ~TiffFile();
  TiffFile(const TiffFile&) = delete;
  TiffFile& operator=(const TiffFile&) = delete;

  TIFF* tiff() { return tiff_; }
  [[noreturn]] void Fail() const;  // MachineError with libtiff's last word
  // Size, tiles of kBlock px, deflate, 8 bits a sample, scale. um = per pixel.
  void SetLayout(int64_t width, int64_t height, double um, int samples,
                 const std::string& description);
  // One tile, row-major; libtiff numbers the tiles of a plane, then those of the next.
  void WriteTile(int64_t index, const std::vector<uint8_t>& compressed);
  void EndDirectory();
  void Commit();  // after the last directory

 private:
  std::string name_, message_;
  core::AtomicFile file_;
  TIFF* tiff_ = nullptr;
};

// kBlock x kBlock bytes as a zlib stream, which is TIFF's deflate. Equal bytes everywhere are
// compressed once.
class TileDeflater {
 public:
  const std::vector<uint8_t>& Compress(const uint8_t* tile);

 private:
  std::vector<uint8_t> buffer_;
  std::vector<std::vector<uint8_t>> uniform_{256};
};

}  // namespace eosin::segment
