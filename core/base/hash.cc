// SPDX-License-Identifier: Apache-2.0
#include "core/base/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>
#include <fstream>
#include <vector>

#include "core/base/error.h"

namespace eosin::core {
namespace {

EVP_MD_CTX* Context(void* context) { return static_cast<EVP_MD_CTX*>(context); }

XXH3_state_t* State(void* state) { return static_cast<XXH3_state_t*>(state); }

std::string ToHex(const unsigned char* bytes, size_t size) {
  static const char* const kDigits = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

std::string ToHex(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  return ToHex(canonical.digest, sizeof canonical.digest);
}

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
  return ToHex(digest, size);
}

Xxh3::Xxh3() : state_(XXH3_createState()) { XXH3_128bits_reset(State(state_)); }

Xxh3::~Xxh3() { XXH3_freeState(State(state_)); }

void Xxh3::Update(const void* data, size_t size) { XXH3_128bits_update(State(state_), data, size); }

std::string Xxh3::Hex() const { return ToHex(XXH3_128bits_digest(State(state_))); }

std::string Xxh3Hex(const void* data, size_t size) { return ToHex(XXH3_128bits(data, size)); }

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
