// SPDX-License-Identifier: Apache-2.0
#include "core/base/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fstream>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"

namespace eosin::core {
namespace {

namespace fs = std::filesystem;

constexpr auto kPoll = std::chrono::milliseconds(50);
constexpr auto kPatience = std::chrono::seconds(10);  // then it is said what is waited for
constexpr int kUnsignedAge = 60;  // seconds until an owner file without text counts as left behind

[[noreturn]] void ThrowCannotLock(const fs::path& path, int error) {
  throw MachineError("cannot write " + path.string() + ": " + std::strerror(error),
                     error == ENOSPC || error == EDQUOT
                         ? "free some space or write to another disk"
                         : "check the path and the rights of the folder");
}

// Field 22 of /proc/<pid>/stat tells a process from a later one of the same number; empty: gone.
std::string StartOf(long pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text);
  const size_t name_end = text.rfind(')');  // the name may hold blanks
  if (name_end == std::string::npos) return {};
  size_t at = name_end + 1;
  for (int field = 3; field <= 22; ++field) {
    at = text.find_first_not_of(' ', at);
    if (at == std::string::npos) return {};
    const size_t end = text.find(' ', at);
    if (field == 22) return text.substr(at, end - at);
    at = end;
  }
  return {};
}

// Host, boot and process namespace: where a process number means something.
std::string Here() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  char space[64] = "";
  if (readlink("/proc/self/ns/pid", space, sizeof space - 1) < 0) space[0] = '\0';
  return std::string(host) + "/" + boot + "/" + space;
}

std::string OwnText() {
  return Here() + " " + std::to_string(getpid()) + " " + StartOf(getpid()) + "\n";
}

std::string ReadText(const fs::path& path) {
  std::ifstream in(path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

bool LeftBehind(const fs::path& path, const std::string& text) {
  const size_t first = text.find(' ');
  const size_t second = text.find(' ', first + 1);
  if (first == std::string::npos || second == std::string::npos || text.back() != '\n') {
    struct stat status{};  // its maker has yet to write it, or died before
    return ::stat(path.c_str(), &status) == 0 &&
           std::time(nullptr) - status.st_mtime > kUnsignedAge;
  }
  if (text.substr(0, first) != Here()) return false;
  const std::string start = text.substr(second + 1, text.size() - second - 2);
  return StartOf(std::strtol(text.c_str() + first, nullptr, 10)) != start;
}

}  // namespace

std::optional<FileLock> FileLock::TryFlock(const fs::path& path, bool* unsupported) {
  for (;;) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) ThrowCannotLock(path, errno);
    int failed = 0;
    while ((failed = ::flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno) == EINTR) {
    }
    // The holder before may have removed the name under us; then this lock guards nothing.
    struct stat own{}, named{};
    const bool same = failed == 0 && ::fstat(fd, &own) == 0 && ::stat(path.c_str(), &named) == 0 &&
                      own.st_ino == named.st_ino && own.st_dev == named.st_dev;
    if (same) return FileLock(path, fd);
    ::close(fd);
    if (failed == EWOULDBLOCK) return std::nullopt;
    if (failed != 0) {
      *unsupported = true;
      return std::nullopt;
    }
  }
}

std::optional<FileLock> FileLock::TryOwnerFile(const fs::path& path) {
  fs::path owner = path;
  owner += ".owner";
  for (int round = 0; round < 3; ++round) {
    const int fd = ::open(owner.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0) {
      const std::string text = OwnText();
      const bool written =
          ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
      const int error = errno;
      ::close(fd);
      if (written) return FileLock(owner, -1);
      ::unlink(owner.c_str());
      ThrowCannotLock(owner, error);
    }
    if (errno != EEXIST) ThrowCannotLock(owner, errno);
    const std::string text = ReadText(owner);
    if (!LeftBehind(owner, text)) return std::nullopt;
    // Move it away under a name of our own: of several that found it, one gets it. Whoever moved
    // what is not the file it looked at puts it back.
    static std::atomic<int> count{0};
    fs::path moved = owner;
    moved += "." + std::to_string(getpid()) + "-" + std::to_string(count++);
    if (::rename(owner.c_str(), moved.c_str()) != 0) continue;
    if (ReadText(moved) != text && ::link(moved.c_str(), owner.c_str()) == 0) {
      ::unlink(moved.c_str());
      return std::nullopt;
    }
    ::unlink(moved.c_str());
  }
  return std::nullopt;
}

std::optional<FileLock> FileLock::Try(const fs::path& path, Kind kind) {
  if (kind != Kind::kOwnerFile) {
    bool unsupported = false;
    auto lock = TryFlock(path, &unsupported);
    if (!unsupported) return lock;
    ::unlink(path.c_str());
    if (kind == Kind::kFlock) {
      throw MachineError("files cannot be locked in " + path.parent_path().string(),
                         "write to another disk");
    }
  }
  return TryOwnerFile(path);
}

FileLock FileLock::Wait(const fs::path& path, Kind kind) {
  const auto start = std::chrono::steady_clock::now();
  bool said = false;
  for (;;) {
    if (auto lock = Try(path, kind)) return std::move(*lock);
    ThrowIfInterrupted();
    if (!said && std::chrono::steady_clock::now() - start > kPatience) {
      said = true;
      LogWarning(fmt::format(
          "waiting for another process to give {} free; delete {}.owner if its machine has crashed",
          path.string(), path.string()));
    }
    std::this_thread::sleep_for(kPoll);
  }
}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::exchange(other.path_, {})), fd_(std::exchange(other.fd_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (path_.empty()) return;
  ::unlink(path_.c_str());  // while it is held: see TryFlock
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace eosin::core
