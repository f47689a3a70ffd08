// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace eosin::tiling {

FileSource::FileSource(const std::filesystem::path& path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status{};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
    const int code = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    throw core::SlideError("cannot read " + path.string() + ": " + std::strerror(code),
                           "give the path of a slide file that you may read");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

FileSource::~FileSource() { ::close(descriptor_); }

bool FileSource::Read(uint64_t offset, void* out, size_t count) const {
  if (offset > size_ || count > size_ - offset) return false;
  auto* bytes = static_cast<uint8_t*>(out);
  while (count > 0) {
    const ssize_t got = ::pread(descriptor_, bytes, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    offset += static_cast<uint64_t>(got);
    count -= static_cast<size_t>(got);
  }
  return true;
}

bool MemorySource::Read(uint64_t offset, void* out, size_t count) const {
  if (offset > size_ || count > size_ - offset) return false;
  if (count > 0) std::memcpy(out, bytes_.data() + offset, count);
  return true;
}

}  // namespace eosin::tiling
