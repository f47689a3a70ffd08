// SPDX-License-Identifier: Apache-2.0
// SHA-256 (OpenSSL) of bytes and files, in lower-case hex.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace eosin::core {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void Update(const void* data, size_t size);
  void Update(std::string_view bytes) { Update(bytes.data(), bytes.size()); }
  std::string Hex();  // finishes; call once

 private:
  void* context_;
};

std::string Sha256Hex(std::string_view bytes);
std::string Sha256File(const std::filesystem::path& path);

// SHA-256 of the file's size, its first and its last MiB: tells slides apart without reading them.
std::string QuickHash(const std::filesystem::path& path);

}  // namespace eosin::core
