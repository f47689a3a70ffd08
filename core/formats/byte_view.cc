// SPDX-License-Identifier: Apache-2.0
#include "core/formats/byte_view.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>

#include "core/base/error.h"

namespace eosin::core {

void RefuseWeights(const std::string& file, const std::string& what) {
  throw WeightsError(file + " " + what,
                     "fetch or copy the file again, or save it anew in Python: "
                     "torch.save(model.state_dict(), path)");
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    throw WeightsError(
        "cannot read the weights file " + path.string() + ": " + std::strerror(errno),
        "check that the file exists and may be read");
  }
  struct stat facts{};
  if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    ::close(fd);
    throw WeightsError(path.string() + " is not a file", "give the path of a weights file");
  }
  size_ = static_cast<size_t>(facts.st_size);
  void* map = size_ == 0 ? nullptr : ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  ::close(fd);
  if (map == MAP_FAILED) {
    throw WeightsError("cannot map " + path.string() + ": " + std::strerror(error),
                       "copy the file to a local disk");
  }
  data_ = static_cast<const char*>(map);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

}  // namespace eosin::core
