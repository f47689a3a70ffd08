// SPDX-License-Identifier: Apache-2.0
#include "core/formats/tfevents.h"

#include <fmt/format.h>
#include <array>
#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "core/base/files.h"

namespace eosin::core {
namespace {

static_assert(std::endian::native == std::endian::little, "files are written little endian");

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0u);
    table[byte] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

template <typename T>
std::string Raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

template <typename T>
T FromRaw(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::string Varint(uint64_t value) {
  std::string bytes;
  while (value >= 0x80) {
    bytes += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  return bytes + static_cast<char>(value);
}

// Protobuf wire types.
constexpr int kVarint = 0, k64 = 1, kBytes = 2, k32 = 5;

std::string Tag(int field, int wire) { return Varint(static_cast<uint64_t>(field << 3 | wire)); }
std::string Field(int field, std::string_view bytes) {
  return Tag(field, kBytes) + Varint(bytes.size()) + std::string(bytes);
}

// Walks the fields of one message.
class Message {
 public:
  explicit Message(std::string_view bytes) : bytes_(bytes) {}

  // False at the end. Throws DataError when the bytes are no message.
  bool Next() {
    if (bytes_.empty()) return false;
    const uint64_t tag = TakeVarint();
    field = static_cast<int>(tag >> 3);
    switch (tag & 7) {
      case kVarint:
        integer = TakeVarint();
        break;
      case k64:
        payload = Take(8);
        break;
      case kBytes:
        payload = Take(TakeVarint());
        break;
      case k32:
        payload = Take(4);
        break;
      default:
        Fail();
    }
    return true;
  }

  int field = 0;
  uint64_t integer = 0;
  std::string_view payload;

 private:
  [[noreturn]] static void Fail() {
    throw DataError("damaged TensorBoard event", "delete the event file; metrics.csv has the same");
  }
  std::string_view Take(uint64_t size) {
    if (size > bytes_.size()) Fail();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  uint64_t TakeVarint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = static_cast<uint8_t>(Take(1)[0]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (!(byte & 0x80)) return value;
    }
    Fail();
  }

  std::string_view bytes_;
};

void ReadEvent(std::string_view payload, std::vector<TfScalar>* scalars) {
  TfScalar scalar;
  const size_t first = scalars->size();
  for (Message event(payload); event.Next();) {
    if (event.field == 1 && event.payload.size() == 8) {
      scalar.wall_time = FromRaw<double>(event.payload);
    } else if (event.field == 2) {
      scalar.step = static_cast<int64_t>(event.integer);
    } else if (event.field == 5) {
      for (Message summary(event.payload); summary.Next();) {
        if (summary.field != 1) continue;
        TfScalar value;
        for (Message entry(summary.payload); entry.Next();) {
          if (entry.field == 1) value.tag = entry.payload;
          if (entry.field == 2 && entry.payload.size() == 4) {
            value.value = FromRaw<float>(entry.payload);
          }
        }
        scalars->push_back(std::move(value));
      }
    }
  }
  for (size_t i = first; i < scalars->size(); ++i) {
    (*scalars)[i].wall_time = scalar.wall_time;
    (*scalars)[i].step = scalar.step;
  }
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

uint32_t MaskCrc32c(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u; }

std::string TfRecord(std::string_view payload) {
  const std::string length = Raw(static_cast<uint64_t>(payload.size()));
  return length + Raw(MaskCrc32c(Crc32c(length))) + std::string(payload) +
         Raw(MaskCrc32c(Crc32c(payload)));
}

std::string TfVersionEvent(double wall_time) {
  return Tag(1, k64) + Raw(wall_time) + Field(3, "brain.Event:2");
}

std::string TfScalarEvent(double wall_time, int64_t step, std::string_view tag, float value) {
  const std::string entry = Field(1, tag) + Tag(2, k32) + Raw(value);
  return Tag(1, k64) + Raw(wall_time) + Tag(2, kVarint) + Varint(static_cast<uint64_t>(step)) +
         Field(5, Field(1, entry));
}

std::vector<TfScalar> ReadTfScalars(const std::filesystem::path& path) {
  const std::string bytes = ReadFile(path);
  std::string_view rest = bytes;
  std::vector<TfScalar> scalars;
  constexpr size_t kFrame = 16;  // length, its checksum, the payload's checksum
  auto fail = [&] {
    throw DataError(fmt::format("{}: a record's checksum is wrong", path.string()),
                    "delete the event file; metrics.csv has the same");
  };
  while (rest.size() >= kFrame) {
    const auto length = FromRaw<uint64_t>(rest);
    if (FromRaw<uint32_t>(rest.substr(8)) != MaskCrc32c(Crc32c(rest.substr(0, 8)))) fail();
    if (length > rest.size() - kFrame) break;
    const std::string_view payload = rest.substr(12, length);
    if (FromRaw<uint32_t>(rest.substr(12 + length)) != MaskCrc32c(Crc32c(payload))) fail();
    ReadEvent(payload, &scalars);
    rest.remove_prefix(kFrame + length);
  }
  return scalars;
}

}  // namespace eosin::core
