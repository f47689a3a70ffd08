// SPDX-License-Identifier: Apache-2.0
// Bytes at offsets: a file, or memory (tests and fuzzing).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace eosin::tiling {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  uint64_t size() const { return size_; }
  // All of [offset, offset + count), or false: the source is shorter or cannot be read.
  // Thread-safe.
  virtual bool Read(uint64_t offset, void* out, size_t count) const = 0;

 protected:
  uint64_t size_ = 0;
};

// Reads by pread: no position, any number of threads.
class FileSource : public ByteSource {
 public:
  // SlideError when the file cannot be opened.
  explicit FileSource(const std::filesystem::path& path);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  bool Read(uint64_t offset, void* out, size_t count) const override;

 private:
  int descriptor_ = -1;
};

// The bytes must outlive it.
class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::span<const uint8_t> bytes) : bytes_(bytes) { size_ = bytes.size(); }
  bool Read(uint64_t offset, void* out, size_t count) const override;

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace eosin::tiling
