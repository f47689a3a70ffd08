// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/tiling_tiff.h"

#include "core/base/error.h"

namespace eosin::bench {
namespace {

// TIFF 6.0 field types.
enum : uint16_t { kAscii = 2, kShort = 3, kLong = 4, kUndefined = 7 };

template <typename T>
std::span<const uint8_t> AsBytes(const std::vector<T>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

SplitJpeg SplitTables(std::span<const uint8_t> jpeg) {
  SplitJpeg split;
  split.stream = split.tables = {0xFF, 0xD8};
  for (size_t i = 2; i + 4 <= jpeg.size();) {
    const uint8_t marker = jpeg[i + 1];
    if (marker == 0xDA) {
      split.stream.insert(split.stream.end(), jpeg.begin() + static_cast<ptrdiff_t>(i), jpeg.end());
      split.tables.insert(split.tables.end(), {0xFF, 0xD9});
      return split;
    }
    const size_t length = 2 + (size_t{jpeg[i + 2]} << 8 | jpeg[i + 3]);
    if (i + length > jpeg.size()) break;
    const auto segment = jpeg.subspan(i, length);
    const bool table = marker == 0xDB || marker == 0xC4;
    const bool application = marker >= 0xE0 && marker <= 0xEF;
    if (!application) {
      core::Bytes& part = table ? split.tables : split.stream;
      part.insert(part.end(), segment.begin(), segment.end());
    }
    i += length;
  }
  throw core::DataError("a JPEG just made has no scan", "please report this");
}

TiffWriter::TiffWriter(const std::filesystem::path& path)
    : file_(path), out_(file_.part_path(), std::ios::binary) {
  const uint8_t header[8] = {'I', 'I', 42, 0, 0, 0, 0, 0};
  Append(header);
}

uint32_t TiffWriter::Append(std::span<const uint8_t> bytes) {
  if (size_ % 2 != 0) {  // values of directories start at even places
    out_.put('\0');
    ++size_;
  }
  const auto at = static_cast<uint32_t>(size_);
  out_.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  size_ += bytes.size();
  if (!out_)
    throw core::MachineError("cannot write " + file_.part_path().string(), "is the disk full?");
  if (size_ > 0xF0000000u) {
    throw core::MachineError("the made slide passes 4 GB", "ask for a smaller one");
  }
  return at;
}

void TiffWriter::WriteAt(uint32_t position, uint32_t value) {
  out_.seekp(position);
  out_.write(reinterpret_cast<const char*>(&value), 4);
  out_.seekp(static_cast<std::streamoff>(size_));
}

uint32_t TiffWriter::AppendDirectory(const TiffLevel& level) {
  core::Bytes fields;
  uint16_t count = 0;
  auto put = [&](auto value) {
    const auto* p = reinterpret_cast<const uint8_t*>(&value);
    fields.insert(fields.end(), p, p + sizeof value);
  };
  // Values of up to 4 bytes stand in the field, longer ones elsewhere.
  auto add = [&](uint16_t tag, uint16_t type, uint32_t values, std::span<const uint8_t> bytes) {
    uint32_t inside = 0;
    if (bytes.size() > 4) {
      inside = Append(bytes);
    } else {
      for (size_t i = 0; i < bytes.size(); ++i) inside |= uint32_t{bytes[i]} << (8 * i);
    }
    put(tag), put(type), put(values), put(inside);
    ++count;
  };
  auto add_long = [&](uint16_t tag, int64_t value) {
    add(tag, kLong, 1, AsBytes(std::vector<uint32_t>{static_cast<uint32_t>(value)}));
  };
  auto add_shorts = [&](uint16_t tag, const std::vector<uint16_t>& values) {
    add(tag, kShort, static_cast<uint32_t>(values.size()), AsBytes(values));
  };
  const auto pieces = static_cast<uint32_t>(level.offsets.size());
  std::vector<char> text(level.description.begin(), level.description.end());
  text.push_back('\0');
  const uint16_t step = level.subsampling == core::Subsampling::k420 ? 2 : 1;

  add_long(254, 0);  // NewSubfileType
  add_long(256, level.width);
  add_long(257, level.height);
  add_shorts(258, {8, 8, 8});
  add_shorts(259, {7});  // JPEG
  add_shorts(262, {6});  // YCbCr
  add(270, kAscii, static_cast<uint32_t>(text.size()), AsBytes(text));
  if (level.tile == 0) add(273, kLong, pieces, AsBytes(level.offsets));
  add_shorts(277, {3});
  if (level.tile == 0) {
    add_long(278, level.strip_rows);
    add(279, kLong, pieces, AsBytes(level.counts));
  }
  add_shorts(284, {1});
  if (level.tile != 0) {
    add_long(322, level.tile);
    add_long(323, level.tile);
    add(324, kLong, pieces, AsBytes(level.offsets));
    add(325, kLong, pieces, AsBytes(level.counts));
  }
  add(347, kUndefined, static_cast<uint32_t>(level.tables.size()), AsBytes(level.tables));
  add_shorts(530, {step, step});  // YCbCrSubsampling
  put(uint32_t{0});

  core::Bytes directory = {static_cast<uint8_t>(count & 255), static_cast<uint8_t>(count >> 8)};
  directory.insert(directory.end(), fields.begin(), fields.end());
  return Append(directory);
}

void TiffWriter::Finish(const std::vector<TiffLevel>& levels) {
  uint32_t link = 4;  // where the place of the next directory is to be written
  for (const TiffLevel& level : levels) {
    const uint32_t at = AppendDirectory(level);
    WriteAt(link, at);
    link = static_cast<uint32_t>(size_) - 4;
  }
  out_.close();
  if (!out_)
    throw core::MachineError("cannot write " + file_.part_path().string(), "is the disk full?");
  file_.Commit();
}

}  // namespace eosin::bench
