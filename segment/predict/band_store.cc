// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/band_store.h"

#include <fmt/format.h>
#include <zlib.h>
#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/log.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSettings = "settings.json";
constexpr char kMagic[8] = {'e', 'o', 's', 'b', 'a', 'n', 'd', '2'};
constexpr size_t kHashSize = 32;  // XXH3-128 of all that follows it, in hex

struct Header {
  char magic[8];
  int64_t index, y, rows, width;
  int64_t probabilities, bad;  // bytes
};

// Column, row, length of the error, the error, a block after the other.
std::string PackBad(const std::vector<BadBlock>& blocks) {
  std::string bytes;
  for (const BadBlock& block : blocks) {
    const int64_t numbers[3] = {block.column, block.row, static_cast<int64_t>(block.error.size())};
    bytes.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
    bytes += block.error;
  }
  return bytes;
}

std::vector<BadBlock> UnpackBad(const uint8_t* at, const uint8_t* end) {
  std::vector<BadBlock> blocks;
  while (at < end) {
    int64_t numbers[3];
    std::memcpy(numbers, at, sizeof numbers);
    at += sizeof numbers;
    blocks.push_back({numbers[0], numbers[1], std::string(at, at + numbers[2])});
    at += numbers[2];
  }
  return blocks;
}

// Is there something that no prediction has put there?
bool HoldsOthersFiles(const fs::path& folder) {
  if (!fs::is_directory(folder)) return true;
  if (fs::exists(folder / kSettings)) return false;
  const fs::directory_iterator files(folder);
  return std::any_of(begin(files), end(files), [](const fs::directory_entry& file) {
    return file.path().filename() != std::string(kSettings) + ".part";
  });
}

// All of it or a MachineError.
void RemoveAll(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (!error) return;
  throw core::MachineError(fmt::format("cannot remove {}: {}", folder.string(), error.message()),
                           "check the rights of the folder");
}

}  // namespace

BandStore::BandStore(fs::path folder, const std::string& settings, bool overwrite)
    : folder_(std::move(folder)) {
  std::error_code error;
  if (fs::exists(folder_, error)) {
    bool same = false;
    try {
      same = core::ReadFile(folder_ / kSettings) == settings;
    } catch (const core::DataError&) {
    }
    if (!same && !overwrite && HoldsOthersFiles(folder_)) {
      throw core::DataError(folder_.string() + " is there and is of no prediction",
                            "move it away, or give another --out");
    }
    if (!same && !overwrite && fs::exists(File(0), error)) {
      throw core::DataError(
          fmt::format("{} holds a stopped prediction of another slide, by another model or with "
                      "other settings, which this one would throw away",
                      folder_.string()),
          fmt::format("its {} names them (--threads and --device count too); --overwrite begins "
                      "anew",
                      kSettings));
    }
    if (!same) RemoveAll(folder_);
  }
  core::MakeFolder(folder_);
  if (!fs::exists(folder_ / kSettings, error)) {
    core::WriteFileAtomic(folder_ / kSettings, settings);
  }
  while (fs::exists(File(count_), error)) ++count_;
}

bool BandStore::IsOurs(const fs::path& folder) {
  return fs::exists(folder) && !HoldsOthersFiles(folder);
}

fs::path BandStore::File(int64_t index) const { return folder_ / fmt::format("band-{:06}", index); }

void BandStore::Forget(int64_t from) {
  std::error_code ignored;
  for (int64_t i = from; i < count_; ++i) fs::remove(File(i), ignored);
  count_ = from;
}

std::optional<Band> BandStore::Read(int64_t index) {
  const std::string bytes = core::ReadFile(File(index));
  Header header{};
  Band band;
  const auto good = [&] {
    if (bytes.size() < kHashSize + sizeof header) return false;
    const char* body = bytes.data() + kHashSize;
    const size_t body_size = bytes.size() - kHashSize;
    if (bytes.compare(0, kHashSize, core::Xxh3Hex(body, body_size)) != 0) return false;
    std::memcpy(&header, body, sizeof header);
    if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.index != index) {
      return false;
    }
    band.index = index;
    band.y = header.y;
    band.rows = header.rows;
    band.width = header.width;
    const auto labels = static_cast<size_t>(header.rows * header.width);
    const size_t maps = labels + static_cast<size_t>(header.probabilities);
    std::vector<uint8_t> raw(maps + static_cast<size_t>(header.bad));
    uLongf size = raw.size();
    // A band may be empty: zlib wants a place to write to all the same.
    uint8_t none = 0;
    if (uncompress(raw.empty() ? &none : raw.data(), &size,
                   reinterpret_cast<const Bytef*>(body + sizeof header),
                   body_size - sizeof header) != Z_OK ||
        size != raw.size()) {
      return false;
    }
    band.labels.assign(raw.begin(), raw.begin() + static_cast<ptrdiff_t>(labels));
    band.probabilities.assign(raw.begin() + static_cast<ptrdiff_t>(labels),
                              raw.begin() + static_cast<ptrdiff_t>(maps));
    band.bad = UnpackBad(raw.data() + maps, raw.data() + raw.size());
    return true;
  };
  if (good()) return band;
  core::LogWarning(
      fmt::format("{} is damaged; the prediction goes on from there", File(index).string()));
  Forget(index);
  return std::nullopt;
}

void BandStore::Write(const Band& band) {
  const std::string bad = PackBad(band.bad);
  Header header{{},
                band.index,
                band.y,
                band.rows,
                band.width,
                static_cast<int64_t>(band.probabilities.size()),
                static_cast<int64_t>(bad.size())};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  std::vector<uint8_t> raw = band.labels;
  raw.insert(raw.end(), band.probabilities.begin(), band.probabilities.end());
  raw.insert(raw.end(), bad.begin(), bad.end());
  uLongf size = compressBound(raw.size());
  std::string body(sizeof header + size, '\0');
  std::memcpy(body.data(), &header, sizeof header);
  if (compress2(reinterpret_cast<Bytef*>(body.data() + sizeof header), &size, raw.data(),
                raw.size(), 1) != Z_OK) {
    throw core::MachineError("out of memory while a band was compressed", "free some memory");
  }
  body.resize(sizeof header + size);
  core::WriteFileAtomic(File(band.index), core::Xxh3Hex(body.data(), body.size()) + body);
  count_ = std::max(count_, band.index + 1);
}

void BandStore::Remove() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

}  // namespace eosin::segment
