// SPDX-License-Identifier: Apache-2.0
// One process at a time: a lock that is a small file in a folder, free again when its holder dies.
//
// Taken by flock(2), which the kernel gives back at any death, kill -9 included, and which NFS and
// Lustre carry between hosts. A file system without flock gets a file `<path>.owner` made with
// O_EXCL that names host, process and its start; one left by a process of this host that is gone is
// taken over. One left by another host is believed: delete it by hand when that host has crashed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace eosin::core {

class FileLock {
 public:
  enum class Kind { kAuto, kFlock, kOwnerFile };

  // Nothing when another holder has it. MachineError when the folder cannot be written.
  static std::optional<FileLock> Try(const std::filesystem::path& path, Kind kind = Kind::kAuto);
  // Waits as long as it takes: for short sections.
  static FileLock Wait(const std::filesystem::path& path, Kind kind = Kind::kAuto);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();  // removes the file

 private:
  FileLock(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  static std::optional<FileLock> TryFlock(const std::filesystem::path& path, bool* unsupported);
  static std::optional<FileLock> TryOwnerFile(const std::filesystem::path& path);

  std::filesystem::path path_;  // empty once moved from
  int fd_ = -1;                 // -1: an owner file
};

}  // namespace eosin::core
