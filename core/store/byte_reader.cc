// SPDX-License-Identifier: Apache-2.0
#include "core/store/byte_reader.h"

#include <unistd.h>
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

const std::vector<uint8_t>& ByteReader::LastChunk() const {
  std::call_once(last_->once, [&] {
    const int64_t start = static_cast<int64_t>(raw_.addresses.size() - 1) * raw_.chunk;
    last_->bytes = dataset_.Read<uint8_t>(start, size() - start);
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
      std::copy_n(LastChunk().data() + within, take, out);
    } else {
      const std::vector<uint8_t> part = dataset_.Read<uint8_t>(at, take);
      std::copy(part.begin(), part.end(), out);
    }
    done += take;
  }
  return bytes;
}

}  // namespace eosin::core
