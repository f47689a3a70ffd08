// SPDX-License-Identifier: Apache-2.0
#include "core/store/byte_reader.h"

#include <unistd.h>
#include <zlib.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace eosin::core {

ByteReader::ByteReader(hdf5::Dataset dataset, std::string source)
    : dataset_(std::move(dataset)), source_(std::move(source)), raw_(dataset_.Layout()) {}

ByteReader::~ByteReader() {
  if (raw_.fd >= 0) ::close(raw_.fd);
}

ByteReader& ByteReader::operator=(ByteReader&& other) noexcept {
  std::swap(dataset_, other.dataset_);
  std::swap(source_, other.source_);
  std::swap(raw_, other.raw_);
  std::swap(last_, other.last_);
  return *this;
}

void ByteReader::ReadFile(int64_t address, int64_t count, uint8_t* out) const {
  while (count > 0) {
    const ssize_t got = ::pread(raw_.fd, out, static_cast<size_t>(count), address);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw StoreError("cannot read tiles of " + source_ + ": " +
                           (got == 0 ? "the file ends too early" : std::strerror(errno)),
                       "the file is damaged or its disk fails; make it again");
    }
    out += got;
    address += got;
    count -= got;
  }
}

namespace {

// A zlib stream as far as it goes, its checksum not asked: a flipped bit costs the tile that it is
// in (whose decoder or hash tells), not all tiles of the chunk.
std::vector<uint8_t> Unpack(std::vector<uint8_t>& packed, int64_t size) {
  constexpr size_t kHeader = 2;
  std::vector<uint8_t> bytes(static_cast<size_t>(size));
  z_stream stream{};
  if (packed.size() < kHeader || inflateInit2(&stream, -MAX_WBITS) != Z_OK) return {};
  stream.next_in = packed.data() + kHeader;
  stream.avail_in = static_cast<uInt>(packed.size() - kHeader);
  stream.next_out = bytes.data();
  stream.avail_out = static_cast<uInt>(bytes.size());
  inflate(&stream, Z_SYNC_FLUSH);
  bytes.resize(stream.total_out);
  inflateEnd(&stream);
  return bytes;
}

}  // namespace

const std::vector<uint8_t>& ByteReader::LastChunk() const {
  std::call_once(last_->once, [&] {
    const int64_t start = static_cast<int64_t>(raw_.addresses.size() - 1) * raw_.chunk;
    // A packed chunk is hardly larger than a plain one, unless the file is damaged.
    if (raw_.packed_address < 0 || raw_.packed_size > 2 * raw_.chunk + 4096) {
      last_->bytes = dataset_.Read<uint8_t>(start, size() - start);
      return;
    }
    std::vector<uint8_t> packed(static_cast<size_t>(raw_.packed_size));
    ReadFile(raw_.packed_address, raw_.packed_size, packed.data());
    last_->bytes = Unpack(packed, size() - start);
  });
  return last_->bytes;
}

std::vector<uint8_t> ByteReader::Read(int64_t start, int64_t count) const {
  if (raw_.fd < 0 || start < 0 || count < 0 || count > size() - start) {
    return dataset_.Read<uint8_t>(start, count);  // which refuses what is out of range
  }
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  for (int64_t done = 0; done < count;) {
    const int64_t at = start + done, chunk = at / raw_.chunk, within = at % raw_.chunk;
    const int64_t take = std::min(count - done, raw_.chunk - within);
    const int64_t address = raw_.addresses[static_cast<size_t>(chunk)];
    uint8_t* out = bytes.data() + done;
    if (address >= 0) {
      ReadFile(address + within, take, out);
    } else if (chunk + 1 == static_cast<int64_t>(raw_.addresses.size())) {
      const std::vector<uint8_t>& last = LastChunk();
      if (within + take > static_cast<int64_t>(last.size())) {
        throw StoreError("the last chunk of " + source_ + " is damaged", "make it again");
      }
      std::copy_n(last.data() + within, take, out);
    } else {
      const std::vector<uint8_t> part = dataset_.Read<uint8_t>(at, take);
      std::copy(part.begin(), part.end(), out);
    }
    done += take;
  }
  return bytes;
}

}  // namespace eosin::core
