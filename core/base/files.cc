// SPDX-License-Identifier: Apache-2.0
#include "core/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/base/error.h"

namespace eosin::core {
namespace {

[[noreturn]] void ThrowMachine(const std::string& what, const fs::path& path, int error) {
  std::string hint = "check the path and the rights of the folder";
  if (error == ENOSPC || error == EDQUOT) hint = "free some space or write to another disk";
  throw MachineError(what + " " + path.string() + ": " + std::strerror(error), hint);
}

void Sync(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) ThrowMachine("cannot open", path, errno);
  const int failed = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  // Some file systems refuse fsync on folders; that loses nothing but durability.
  if (failed != 0 && failed != EINVAL) ThrowMachine("cannot flush", path, failed);
}

fs::path FolderOf(const fs::path& path) {
  const fs::path folder = path.parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

}  // namespace

std::string ReadFile(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    throw DataError(path.string() + " is a folder, not a file", "give the path of a file");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    throw DataError("cannot read " + path.string() + ": " + std::strerror(errno),
                    "check that the file exists and may be read");
  }
  std::string bytes;
  in.seekg(0, std::ios::end);
  const auto size = in.tellg();
  if (size > 0) {
    bytes.resize(static_cast<size_t>(size));
    in.seekg(0);
    in.read(bytes.data(), size);
  }
  if (!in) throw DataError("cannot read all of " + path.string(), "is the disk failing?");
  return bytes;
}

void WriteFileAtomic(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  const int fd = ::open(file.part_path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) ThrowMachine("cannot write", file.part_path(), errno);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      ::close(fd);
      ThrowMachine("cannot write", file.part_path(), error);
    }
    done += static_cast<size_t>(n);
  }
  if (::close(fd) != 0) ThrowMachine("cannot write", file.part_path(), errno);
  file.Commit();
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), part_(path_) { part_ += ".part"; }

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(part_.c_str());
}

void AtomicFile::Commit() {
  Sync(part_, O_RDONLY);
  if (::rename(part_.c_str(), path_.c_str()) != 0) ThrowMachine("cannot write", path_, errno);
  committed_ = true;
  Sync(FolderOf(path_), O_RDONLY | O_DIRECTORY);
}

void MakeFolder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) ThrowMachine("cannot make folder", folder, error.value());
  if (!fs::is_directory(folder)) {
    throw MachineError(folder.string() + " is a file", "choose another output folder");
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) ThrowMachine("cannot write to", folder, errno);
}

void ReplaceFolder(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    if (entry.is_regular_file()) Sync(entry.path(), O_RDONLY);
  }
  fs::path old = to;
  old += ".old";
  std::error_code error;
  if (fs::exists(to)) {
    fs::remove_all(old, error);
    if (::rename(to.c_str(), old.c_str()) != 0) ThrowMachine("cannot replace", to, errno);
  }
  if (::rename(from.c_str(), to.c_str()) != 0) ThrowMachine("cannot write", to, errno);
  Sync(FolderOf(to), O_RDONLY | O_DIRECTORY);
  fs::remove_all(old, error);
}

std::vector<fs::path> ListFiles(const fs::path& folder, const std::vector<std::string>& extensions,
                                bool recursive) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw DataError("no such folder: " + folder.string(), "check the path");
  }
  std::vector<fs::path> files;
  auto take = [&](const fs::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    if (name.empty() || name[0] == '.' || !entry.is_regular_file()) return;
    const std::string extension = Extension(entry.path());
    if (extension == ".part") return;
    if (extensions.empty() ||
        std::find(extensions.begin(), extensions.end(), extension) != extensions.end()) {
      files.push_back(entry.path());
    }
  };
  if (recursive) {
    const auto options = fs::directory_options::follow_directory_symlink |
                         fs::directory_options::skip_permission_denied;
    for (const auto& entry : fs::recursive_directory_iterator(folder, options)) take(entry);
  } else {
    for (const auto& entry : fs::directory_iterator(folder)) take(entry);
  }
  std::sort(files.begin(), files.end());
  return files;
}

int64_t FreeBytes(const fs::path& path) {
  fs::path at = fs::absolute(path);
  std::error_code error;
  while (!fs::exists(at, error) && at.has_relative_path()) at = at.parent_path();
  const auto space = fs::space(at, error);
  return error ? 0 : static_cast<int64_t>(space.available);
}

std::string Extension(const fs::path& path) {
  std::string text = path.extension().string();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace eosin::core
