// SPDX-License-Identifier: Apache-2.0
// TIFF files byte by byte, for what libtiff would not write: broken, cyclic and boasting ones.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace eosin::testing {

class TiffBytes {
 public:
  // Types of the standard.
  enum Type : uint16_t {
    kAscii = 2,
    kShort = 3,
    kLong = 4,
    kRational = 5,
    kUndefined = 7,
    kLong8 = 16
  };
  struct Tag {
    uint16_t type = kLong;
    std::vector<uint64_t> values;  // of a rational numerator and denominator in turn
    uint64_t count = 0;            // what the file claims, where not 0
  };
  using Directory = std::map<uint16_t, Tag>;

  TiffBytes(bool big_tiff, bool big_endian) : big_tiff_(big_tiff), big_endian_(big_endian) {
    bytes_ = {uint8_t(big_endian ? 'M' : 'I'), uint8_t(big_endian ? 'M' : 'I')};
    Put(big_tiff ? 43 : 42, 2);
    if (big_tiff) Put(8, 2), Put(0, 2);
    next_ = bytes_.size();
    Put(0, Word());
  }

  // Appends raw data; returns where it lies.
  uint64_t Data(const std::vector<uint8_t>& data) {
    const uint64_t at = bytes_.size();
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    return at;
  }

  // Appends a directory and hooks it to the chain; returns where it lies.
  uint64_t Add(const Directory& directory) {
    std::map<uint16_t, uint64_t> outside;
    for (const auto& [id, tag] : directory) {
      if (Size(tag) <= Word()) continue;
      outside[id] = bytes_.size();
      PutValues(tag);
    }
    const uint64_t at = bytes_.size();
    Patch(next_, at);
    Put(directory.size(), big_tiff_ ? 8 : 2);
    for (const auto& [id, tag] : directory) {
      Put(id, 2);
      Put(tag.type, 2);
      Put(tag.count ? tag.count : Count(tag), Word());
      if (const auto found = outside.find(id); found != outside.end()) {
        Put(found->second, Word());
        continue;
      }
      PutValues(tag);
      for (size_t i = Size(tag); i < Word(); ++i) bytes_.push_back(0);
    }
    next_ = bytes_.size();
    Put(0, Word());
    return at;
  }
  // Where the last directory says that the next one is.
  void PointLastAt(uint64_t offset) { Patch(next_, offset); }

  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  size_t Word() const { return big_tiff_ ? 8 : 4; }
  static size_t Each(uint16_t type) {
    return type == kShort ? 2 : type == kLong ? 4 : type == kRational ? 4 : type == kLong8 ? 8 : 1;
  }
  static size_t Size(const Tag& tag) { return tag.values.size() * Each(tag.type); }
  static uint64_t Count(const Tag& tag) {
    return tag.type == kRational ? tag.values.size() / 2 : tag.values.size();
  }
  void PutValues(const Tag& tag) {
    for (const uint64_t value : tag.values) Put(value, Each(tag.type));
  }
  void Put(uint64_t value, size_t size) {
    bytes_.resize(bytes_.size() + size);
    Write(bytes_.size() - size, value, size);
  }
  void Patch(uint64_t at, uint64_t value) { Write(at, value, Word()); }
  void Write(uint64_t at, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      const size_t shift = 8 * (big_endian_ ? size - 1 - i : i);
      bytes_[at + i] = static_cast<uint8_t>(value >> shift);
    }
  }

  const bool big_tiff_, big_endian_;
  std::vector<uint8_t> bytes_;
  uint64_t next_ = 0;
};

inline TiffBytes::Tag Ascii(const std::string& text) {
  TiffBytes::Tag tag{TiffBytes::kAscii, {text.begin(), text.end()}};
  tag.values.push_back(0);
  return tag;
}

// A tiled 8-bit RGB directory, uncompressed, its tiles at `offsets`.
inline TiffBytes::Directory TiledRgb(uint64_t width, uint64_t height, uint64_t side,
                                     const std::vector<uint64_t>& offsets) {
  const std::vector<uint64_t> bytes(offsets.size(), 3 * side * side);
  return {{256, {TiffBytes::kLong, {width}}},    {257, {TiffBytes::kLong, {height}}},
          {258, {TiffBytes::kShort, {8, 8, 8}}}, {259, {TiffBytes::kShort, {1}}},
          {262, {TiffBytes::kShort, {2}}},       {277, {TiffBytes::kShort, {3}}},
          {322, {TiffBytes::kShort, {side}}},    {323, {TiffBytes::kShort, {side}}},
          {324, {TiffBytes::kLong, offsets}},    {325, {TiffBytes::kLong, bytes}}};
}

}  // namespace eosin::testing
