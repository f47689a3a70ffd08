// SPDX-License-Identifier: Apache-2.0
// Parts of a 1-d uint8 dataset, read straight from the file: no library lock, and a tile costs its
// own bytes, not its chunk's. What lies packed in the file (the last chunk of tiles/bytes) is read
// once and kept.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/store/hdf5.h"

namespace eosin::core {

class ByteReader {
 public:
  ByteReader() = default;
  ByteReader(hdf5::Dataset dataset, std::string source);
  ~ByteReader();
  ByteReader(ByteReader&& other) noexcept { *this = std::move(other); }
  ByteReader& operator=(ByteReader&& other) noexcept;

  int64_t size() const { return dataset_.shape().empty() ? 0 : dataset_.shape()[0]; }
  // StoreError when they cannot be read. Thread-safe.
  std::vector<uint8_t> Read(int64_t start, int64_t count) const;

 private:
  void ReadFile(int64_t address, int64_t count, uint8_t* out) const;
  const std::vector<uint8_t>& LastChunk() const;

  // A chunk kept in memory; its own object, so that the reader can move.
  struct Kept {
    std::once_flag once;
    std::vector<uint8_t> bytes;
  };
  hdf5::Dataset dataset_;
  std::string source_;
  hdf5::RawLayout raw_;
  std::unique_ptr<Kept> last_ = std::make_unique<Kept>();
};

}  // namespace eosin::core
