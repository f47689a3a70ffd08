// SPDX-License-Identifier: Apache-2.0
// What every fuzz target shares. A target feeds one parser: it may refuse its input by a
// core::Error and nothing else. Any other exception, a report of ASan or UBSan, a hang or too much
// memory is a finding (tools/fuzz/run keeps the input).
#pragma once

#include <sys/mman.h>
#include <unistd.h>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace eosin::fuzz {

// The input as a file without a disk, for parsers that take a path.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : descriptor_(memfd_create("input", 0)) {
    if (descriptor_ < 0) std::abort();
    while (size > 0) {
      const ssize_t written = write(descriptor_, data, size);
      if (written <= 0) std::abort();
      data += written;
      size -= static_cast<size_t>(written);
    }
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Runs a parser; a user error is a proper answer.
template <typename Action>
void Refusable(Action&& action) {
  try {
    action();
  } catch (const core::Error&) {
  }
}

// A property that must hold of whatever was parsed.
inline void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace eosin::fuzz

// The function libFuzzer calls, once an input.
#define EOSIN_FUZZ_TARGET(data, size) \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
