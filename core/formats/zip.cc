// SPDX-License-Identifier: Apache-2.0
#include "core/formats/zip.h"

#include <zlib.h>
#include <ostream>

#include "core/formats/byte_view.h"

namespace eosin::core {
namespace {

constexpr uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50, kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50, kLocator64Magic = 0x07064b50;
constexpr uint16_t kZip64Extra = 1, kPaddingExtra = 0x4246;  // "FB", as PyTorch pads
constexpr size_t kEndSize = 22, kLocatorSize = 20, kLocalSize = 30;
constexpr uint64_t kAlignment = 64;

uint32_t Crc(std::string_view bytes) {
  uLong crc = crc32(0, nullptr, 0);
  for (size_t at = 0; at < bytes.size();) {
    const size_t part = std::min<size_t>(bytes.size() - at, 1u << 30);
    crc = crc32(crc, reinterpret_cast<const Bytef*>(bytes.data() + at), static_cast<uInt>(part));
    at += part;
  }
  return static_cast<uint32_t>(crc);
}

template <typename T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

struct Directory {
  uint64_t offset, count;
};

Directory FindDirectory(std::string_view bytes, const std::string& file) {
  static const std::string magic("PK\x05\x06");
  // The end record is last, followed by a comment of at most 65535 bytes.
  const size_t at = bytes.rfind(magic);
  if (at == bytes.npos || bytes.size() - at < kEndSize || bytes.size() - at > kEndSize + 65535) {
    RefuseWeights(file, "is a zip file without its end: it is cut short");
  }
  ByteCursor end(bytes, file, at + 8);
  const auto here = end.Read<uint16_t>(), total = end.Read<uint16_t>();
  if (here != total) RefuseWeights(file, "is one part of a split zip file");
  end.Read<uint32_t>();
  const auto offset = end.Read<uint32_t>();
  if (total != 0xffff && offset != 0xffffffff) return {offset, total};
  if (at < kLocatorSize) RefuseWeights(file, "is a damaged zip file");
  ByteCursor locator(bytes, file, at - kLocatorSize);
  if (locator.Read<uint32_t>() != kLocator64Magic) return {offset, total};
  locator.Read<uint32_t>();
  ByteCursor end64(bytes, file, locator.Read<uint64_t>());
  if (end64.Read<uint32_t>() != kEnd64Magic) RefuseWeights(file, "is a damaged zip file");
  end64.Take(20);
  end64.Read<uint64_t>();
  const auto count = end64.Read<uint64_t>();
  end64.Read<uint64_t>();
  return {end64.Read<uint64_t>(), count};
}

}  // namespace

ZipIndex::ZipIndex(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {
  const Directory directory = FindDirectory(bytes, file);
  ByteCursor cursor(bytes, file_, directory.offset);
  for (uint64_t i = 0; i < directory.count; ++i) {
    if (cursor.Read<uint32_t>() != kCentralMagic) RefuseWeights(file, "is a damaged zip file");
    cursor.Read<uint32_t>();  // versions
    const auto flags = cursor.Read<uint16_t>(), method = cursor.Read<uint16_t>();
    cursor.Read<uint32_t>();  // time
    Entry entry{};
    entry.crc = cursor.Read<uint32_t>();
    uint64_t packed = cursor.Read<uint32_t>();
    entry.size = cursor.Read<uint32_t>();
    const auto name_size = cursor.Read<uint16_t>(), extra_size = cursor.Read<uint16_t>();
    const auto comment_size = cursor.Read<uint16_t>();
    cursor.Take(8);  // disk, attributes
    entry.header_offset = cursor.Read<uint32_t>();
    const std::string name(cursor.Take(name_size));
    const std::string_view extra = cursor.Take(extra_size);
    cursor.Take(comment_size);

    ByteCursor fields(extra, file_);
    while (extra.size() - fields.position() >= 4) {
      const auto id = fields.Read<uint16_t>(), size = fields.Read<uint16_t>();
      const std::string_view body = fields.Take(size);
      if (id != kZip64Extra) continue;
      ByteCursor wide(body, file_);
      if (entry.size == 0xffffffff) entry.size = wide.Read<uint64_t>();
      if (packed == 0xffffffff) packed = wide.Read<uint64_t>();
      if (entry.header_offset == 0xffffffff) entry.header_offset = wide.Read<uint64_t>();
    }
    if ((flags & 1) != 0) RefuseWeights(file, "holds encrypted entries");
    if (method != 0 || packed != entry.size) {
      RefuseWeights(file,
                    "holds the compressed entry " + name + "; PyTorch files are not compressed");
    }
    if (!entries_.emplace(name, entry).second) RefuseWeights(file, "holds " + name + " twice");
    names_.push_back(name);
  }
}

std::string_view ZipIndex::Bytes(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) RefuseWeights(file_, "lacks its record " + name);
  const Entry& entry = found->second;
  ByteCursor cursor(bytes_, file_, entry.header_offset);
  if (cursor.Read<uint32_t>() != kLocalMagic) RefuseWeights(file_, "is a damaged zip file");
  cursor.Take(22);
  const auto name_size = cursor.Read<uint16_t>(), extra_size = cursor.Read<uint16_t>();
  cursor.Take(name_size);
  cursor.Take(extra_size);
  const std::string_view payload = cursor.Take(entry.size);
  // 0: torch.save was told to compute no sums (set_crc32_options).
  if (entry.crc != 0 && Crc(payload) != entry.crc) {
    RefuseWeights(file_, "is damaged: the checksum of " + name + " is wrong");
  }
  return payload;
}

void ZipWriter::Write(std::string_view bytes) {
  out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  offset_ += bytes.size();
}

void ZipWriter::Add(const std::string& name, std::string_view payload) {
  const uint64_t bare = offset_ + kLocalSize + name.size() + 4;  // with an empty padding field
  const auto padding = static_cast<uint16_t>((kAlignment - bare % kAlignment) % kAlignment);
  std::string facts;           // what the local header and the directory share
  Put<uint16_t>(facts, 20);    // version needed
  Put<uint16_t>(facts, 0);     // flags
  Put<uint16_t>(facts, 0);     // stored
  Put<uint16_t>(facts, 0);     // time
  Put<uint16_t>(facts, 0x21);  // 1980-01-01
  Put<uint32_t>(facts, Crc(payload));
  Put<uint32_t>(facts, static_cast<uint32_t>(payload.size()));
  Put<uint32_t>(facts, static_cast<uint32_t>(payload.size()));
  Put<uint16_t>(facts, static_cast<uint16_t>(name.size()));

  std::string local;
  Put<uint32_t>(local, kLocalMagic);
  local += facts;
  Put<uint16_t>(local, static_cast<uint16_t>(4 + padding));
  local += name;
  Put<uint16_t>(local, kPaddingExtra);
  Put<uint16_t>(local, padding);
  local.append(padding, 'Z');

  Put<uint32_t>(directory_, kCentralMagic);
  Put<uint16_t>(directory_, 20);  // version made by
  directory_ += facts;
  Put<uint16_t>(directory_, 0);  // extra
  Put<uint16_t>(directory_, 0);  // comment
  Put<uint16_t>(directory_, 0);  // disk
  Put<uint16_t>(directory_, 0);  // internal attributes
  Put<uint32_t>(directory_, 0);  // external attributes
  Put<uint32_t>(directory_, static_cast<uint32_t>(offset_));
  directory_ += name;
  ++count_;
  Write(local);
  Write(payload);
}

void ZipWriter::Finish() {
  const uint64_t start = offset_;
  Write(directory_);
  std::string end;
  Put<uint32_t>(end, kEndMagic);
  Put<uint32_t>(end, 0);  // disks
  Put<uint16_t>(end, static_cast<uint16_t>(count_));
  Put<uint16_t>(end, static_cast<uint16_t>(count_));
  Put<uint32_t>(end, static_cast<uint32_t>(directory_.size()));
  Put<uint32_t>(end, static_cast<uint32_t>(start));
  Put<uint16_t>(end, 0);
  Write(end);
}

}  // namespace eosin::core
