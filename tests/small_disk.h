// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mount.h>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "core/base/files.h"
#include "tests/testing.h"

namespace eosin::testing {

// A file system of its own, of few bytes: for tests of a full disk. Needs the right to mount.
class SmallDisk {
 public:
  SmallDisk(std::filesystem::path folder, const std::string& size) : folder_(std::move(folder)) {
    core::MakeFolder(folder_);
    mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  bool Grow(const std::string& size) {
    return ::mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT, ("size=" + size).c_str()) == 0;
  }

 private:
  std::filesystem::path folder_;
  bool mounted_ = false;
};

}  // namespace eosin::testing

#define EOSIN_REQUIRE_DISK(disk) \
  if (!(disk).mounted())         \
  GTEST_SKIP() << "needs the right to mount a tmpfs: " << std::strerror(errno)
