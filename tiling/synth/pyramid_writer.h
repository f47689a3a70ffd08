// SPDX-License-Identifier: Apache-2.0
// Writes a pyramid of JPEG tiles (256 px, YCbCr 4:2:0) as the tiled TIFF that OpenSlide opens as
// vendor aperio: the first ImageDescription starts with "Aperio Image Library" and carries MPP and
// AppMag. Classic TIFF while all offsets surely fit 32 bits, else BigTIFF. Nothing in the file
// depends on time or host. Appears whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

namespace eosin::tiling {

class PyramidWriter {
 public:
  static constexpr int kTile = 256;

  // Level 0 of width x height; tiles follow by WriteTile. Throws MachineError.
  PyramidWriter(const std::filesystem::path& path, int64_t width, int64_t height, double mpp,
                double power);
  ~PyramidWriter();
  PyramidWriter(const PyramidWriter&) = delete;
  PyramidWriter& operator=(const PyramidWriter&) = delete;

  // A self-contained JPEG of tile `index` (row-major) of the current level, in ascending order.
  void WriteTile(int64_t index, const std::vector<uint8_t>& jpeg);
  // Ends the current level and starts one of this size.
  void NextLevel(int64_t width, int64_t height);
  // Ends the last level and puts the file under its name.
  void Finish();

 private:
  struct File;
  void StartLevel(int64_t width, int64_t height);
  [[noreturn]] void Fail() const;

  std::unique_ptr<File> file_;
};

}  // namespace eosin::tiling
