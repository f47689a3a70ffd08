// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/tar_writer.h"

#include <fmt/format.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "core/base/error.h"

namespace eosin::tiling {
namespace {

constexpr size_t kBlock = 512, kRecord = 20 * kBlock, kNameField = 100;

struct Header {
  std::array<char, kBlock> bytes{};

  void Text(size_t at, const std::string& text) {
    std::memcpy(bytes.data() + at, text.data(), text.size());
  }
};

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// "<length> path=<name>\n", where length counts itself.
std::string PaxPath(const std::string& name) {
  const size_t rest = std::strlen(" path=\n") + name.size();
  size_t length = rest;
  while (rest + std::to_string(length).size() != length) {
    length = rest + std::to_string(length).size();
  }
  return fmt::format("{} path={}\n", length, name);
}

}  // namespace

TarWriter::TarWriter(const std::filesystem::path& path)
    : target_(path), file_(std::fopen(target_.part_path().c_str(), "wbe"), std::fclose) {
  if (!file_) Write(nullptr, 0);
}

void TarWriter::Write(const void* bytes, size_t size) {
  if (file_ && std::fwrite(bytes, 1, size, file_.get()) == size) {
    size_ += static_cast<int64_t>(size);
    return;
  }
  throw core::MachineError(
      "cannot write " + target_.part_path().string() + ": " + std::strerror(errno),
      "free some space, check the rights of the folder, or write to another disk");
}

void TarWriter::Record(const std::string& name, char type, std::span<const uint8_t> bytes) {
  Header header;
  header.Text(0, name.substr(0, kNameField));
  header.Text(100, "0000644");
  header.Text(108, "0000000");  // user
  header.Text(116, "0000000");  // group
  header.Text(124, fmt::format("{:011o}", bytes.size()));
  header.Text(136, "00000000000");  // time
  header.Text(148, "        ");     // the checksum counts itself as spaces
  header.bytes[156] = type;
  header.Text(257, std::string("ustar\0"
                               "00",
                               8));
  const unsigned sum =
      std::accumulate(header.bytes.begin(), header.bytes.end(), 0U,
                      [](unsigned s, char c) { return s + static_cast<unsigned char>(c); });
  header.Text(148, fmt::format("{:06o}", sum));
  header.bytes[154] = '\0';
  Write(header.bytes.data(), kBlock);
  Write(bytes.data(), bytes.size());
  const Header zeros;
  Write(zeros.bytes.data(), (kBlock - bytes.size() % kBlock) % kBlock);
}

void TarWriter::Add(const std::string& name, std::span<const uint8_t> bytes) {
  if (name.size() > kNameField) Record("PaxHeader", 'x', AsBytes(PaxPath(name)));
  Record(name, '0', bytes);
}

void TarWriter::Add(const std::string& name, std::string_view text) { Add(name, AsBytes(text)); }

void TarWriter::Finish() {
  const Header zeros;
  Write(zeros.bytes.data(), kBlock);
  Write(zeros.bytes.data(), kBlock);
  while (size_ % static_cast<int64_t>(kRecord) != 0) Write(zeros.bytes.data(), kBlock);
  if (std::fclose(file_.release()) != 0) Write(nullptr, 0);
  target_.Commit();
}

}  // namespace eosin::tiling
