// SPDX-License-Identifier: Apache-2.0
// The part of ZIP that PyTorch files use: stored (uncompressed) entries, zip64 tolerated on
// reading.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace eosin::core {

// The entries of an archive in memory: name -> bytes (views into `bytes`). Throws WeightsError for
// compressed, encrypted, duplicate, overlapping-the-end or damaged entries. Sums are checked by
// ZipEntry::Bytes, so that entries nobody reads cost nothing.
class ZipIndex {
 public:
  ZipIndex(std::string_view bytes, const std::string& file);
  const std::vector<std::string>& names() const { return names_; }
  bool Has(const std::string& name) const { return entries_.count(name) != 0; }
  // Throws WeightsError when the entry is absent or its CRC-32 is wrong.
  std::string_view Bytes(const std::string& name) const;

 private:
  struct Entry {
    uint64_t header_offset, size;
    uint32_t crc;
  };
  std::string_view bytes_;
  std::string file_;
  std::map<std::string, Entry> entries_;
  std::vector<std::string> names_;
};

// Writes stored entries with payloads aligned to 64 bytes, no times, no zip64 (the caller keeps the
// archive below 4 GiB). Errors are left in the stream's state.
class ZipWriter {
 public:
  explicit ZipWriter(std::ostream& out) : out_(out) {}
  void Add(const std::string& name, std::string_view payload);
  void Finish();

 private:
  void Write(std::string_view bytes);

  std::ostream& out_;
  uint64_t offset_ = 0;
  uint32_t count_ = 0;
  std::string directory_;
};

}  // namespace eosin::core
