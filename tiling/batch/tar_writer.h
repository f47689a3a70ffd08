// SPDX-License-Identifier: Apache-2.0
// A tar archive of plain files (POSIX.1-2001: ustar, with a pax record for names over 100 bytes).
// Times, owners and rights are the same for all: equal files give equal archives. Appears whole or
// not at all.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/base/files.h"

namespace eosin::tiling {

class TarWriter {
 public:
  explicit TarWriter(const std::filesystem::path& path);  // MachineError, as all of these
  void Add(const std::string& name, std::span<const uint8_t> bytes);
  void Add(const std::string& name, std::string_view text);
  void Finish();

 private:
  void Record(const std::string& name, char type, std::span<const uint8_t> bytes);
  void Write(const void* bytes, size_t size);

  core::AtomicFile target_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  int64_t size_ = 0;
};

}  // namespace eosin::tiling
