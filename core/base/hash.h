// SPDX-License-Identifier: Apache-2.0
// SHA-256 (OpenSSL) and XXH3-128 (xxHash) of bytes and files, in lower-case hex.
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

// XXH3-128: finds accidents, not forgeries, at many GB/s. Hex as `xxhsum -H2` and Python's
// xxhash.xxh3_128_hexdigest print it.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(const Xxh3&) = delete;
  Xxh3& operator=(const Xxh3&) = delete;
  void Update(const void* data, size_t size);
  void Update(std::string_view bytes) { Update(bytes.data(), bytes.size()); }
  std::string Hex() const;  // of what was given so far

 private:
  void* state_;
};

std::string Xxh3Hex(const void* data, size_t size);

std::string Sha256Hex(std::string_view bytes);
std::string Sha256File(const std::filesystem::path& path);

// SHA-256 of the file's size, its first and its last MiB: tells slides apart without reading them.
std::string QuickHash(const std::filesystem::path& path);

}  // namespace eosin::core
