// SPDX-License-Identifier: Apache-2.0
#include "core/base/hash.h"

#include <openssl/evp.h>
#include <fstream>
#include <vector>

#include "core/base/error.h"

namespace eosin::core {
namespace {

EVP_MD_CTX* Context(void* context) { return static_cast<EVP_MD_CTX*>(context); }

std::ifstream Open(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw DataError("cannot read " + path.string(), "check that the file may be read");
  return in;
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(Context(context_), EVP_sha256(), nullptr);
}

Sha256::~Sha256() { EVP_MD_CTX_free(Context(context_)); }

void Sha256::Update(const void* data, size_t size) {
  EVP_DigestUpdate(Context(context_), data, size);
}

std::string Sha256::Hex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(Context(context_), digest, &size);
  static const char* const kDigits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

std::string Sha256Hex(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Hex();
}

std::string Sha256File(const std::filesystem::path& path) {
  auto in = Open(path);
  std::vector<char> buffer(1 << 20);
  Sha256 hash;
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0) {
    hash.Update(buffer.data(), static_cast<size_t>(in.gcount()));
  }
  return hash.Hex();
}

std::string QuickHash(const std::filesystem::path& path) {
  auto in = Open(path);
  in.seekg(0, std::ios::end);
  const int64_t size = in.tellg();
  std::vector<char> buffer(1 << 20);
  Sha256 hash;
  hash.Update(std::to_string(size));
  auto add = [&](int64_t offset) {
    in.clear();
    in.seekg(offset);
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hash.Update(buffer.data(), static_cast<size_t>(in.gcount()));
  };
  add(0);
  if (size > static_cast<int64_t>(buffer.size())) {
    add(size - static_cast<int64_t>(buffer.size()));
  }
  return hash.Hex();
}

}  // namespace eosin::core
