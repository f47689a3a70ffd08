// SPDX-License-Identifier: Apache-2.0
// A weights file mapped into memory, and a cursor over bytes that cannot leave them.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

namespace eosin::core {

// Throws WeightsError "<file> <what>" with a hint about broken files.
[[noreturn]] void RefuseWeights(const std::string& file, const std::string& what);

// Read-only map of a whole file. Throws WeightsError when it is missing, a folder or unreadable.
// The file must not shrink meanwhile.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

// Little-endian reads that throw WeightsError ("<file> is cut short or damaged") past the end.
class ByteCursor {
 public:
  ByteCursor(std::string_view bytes, const std::string& file, size_t position = 0)
      : bytes_(bytes), file_(file), position_(position) {}

  template <typename T>
  T Read() {
    T value;
    std::memcpy(&value, Take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view Take(uint64_t count) {
    if (position_ > bytes_.size() || count > bytes_.size() - position_) {
      RefuseWeights(file_, "is cut short or damaged");
    }
    const auto part = bytes_.substr(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return part;
  }
  std::string_view TakeLine() {  // without its newline
    const size_t end = position_ > bytes_.size() ? bytes_.npos : bytes_.find('\n', position_);
    if (end == bytes_.npos) RefuseWeights(file_, "is cut short or damaged");
    const auto line = Take(end - position_);
    ++position_;
    return line;
  }
  size_t position() const { return position_; }
  const std::string& file() const { return file_; }

 private:
  std::string_view bytes_;
  const std::string& file_;
  size_t position_;
};

}  // namespace eosin::core
