// SPDX-License-Identifier: Apache-2.0
// Files that appear whole or not at all, and the few file questions the program asks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace eosin::core {

namespace fs = std::filesystem;

// Reads a whole file. Throws DataError when it is missing or unreadable.
std::string ReadFile(const fs::path& path);

// Writes `<path>.part`, fsyncs, renames to path and fsyncs the folder. Throws MachineError.
void WriteFileAtomic(const fs::path& path, std::string_view bytes);

// For writers that need a path: write to part_path(), then Commit(). The destructor removes the
// part file if Commit was not reached.
class AtomicFile {
 public:
  explicit AtomicFile(fs::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  const fs::path& part_path() const { return part_; }
  void Commit();

 private:
  fs::path path_, part_;
  bool committed_ = false;
};

// Makes the folder and its parents. Throws MachineError with the reason (permission, a file in the
// way, no space).
void MakeFolder(const fs::path& folder);

// Moves a finished folder `from` to `to`, replacing what is there; the old one stays readable as
// `<to>.old` for the moment between the two renames. Both on one file system.
void ReplaceFolder(const fs::path& from, const fs::path& to);

// Regular files under folder with one of the extensions (lower case, with dot; empty = all),
// sorted by path. Hidden files and *.part are left out. Throws DataError when folder is missing.
std::vector<fs::path> ListFiles(const fs::path& folder, const std::vector<std::string>& extensions,
                                bool recursive);

// Bytes free for this user where path (or its nearest existing parent) lives.
int64_t FreeBytes(const fs::path& path);

// Lower-case extension with its dot.
std::string Extension(const fs::path& path);

}  // namespace eosin::core
