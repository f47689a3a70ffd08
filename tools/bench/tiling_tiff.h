// SPDX-License-Identifier: Apache-2.0
// Writes pyramids the way Aperio does: JPEG tiles as abbreviated streams, their tables once a level
// (JPEGTables), streams that several tiles may share. Classic TIFF below 4 GB.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/image/codec.h"

namespace eosin::bench {

// A baseline JPEG cut in two: the tables as a stream of their own, and the rest without them.
struct SplitJpeg {
  core::Bytes tables, stream;
};
SplitJpeg SplitTables(std::span<const uint8_t> jpeg);

struct TiffLevel {
  int64_t width = 0, height = 0;
  int tile = 0;        // side of tiles; 0: strips
  int strip_rows = 0;  // without tiles
  core::Subsampling subsampling = core::Subsampling::k420;
  std::string description;
  core::Bytes tables;
  std::vector<uint32_t> offsets, counts;
};

class TiffWriter {
 public:
  explicit TiffWriter(const std::filesystem::path& path);
  // Where the bytes lie. MachineError beyond 4 GB.
  uint32_t Append(std::span<const uint8_t> bytes);
  // The directories in this order; puts the file under its name.
  void Finish(const std::vector<TiffLevel>& levels);

 private:
  uint32_t AppendDirectory(const TiffLevel& level);  // ends in its link to the next one, 0
  void WriteAt(uint32_t position, uint32_t value);

  core::AtomicFile file_;
  std::ofstream out_;
  uint64_t size_ = 0;
};

}  // namespace eosin::bench
