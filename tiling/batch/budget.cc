// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/budget.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

int64_t ReadNumber(const char* path) {
  std::ifstream in(path);
  int64_t value = 0;
  return in >> value ? value : kUnlimited;
}

}  // namespace

int64_t AvailableMemory() {
  int64_t available = kUnlimited;
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  for (int64_t kilobytes = 0; in >> key >> kilobytes; std::getline(in, unit)) {
    if (key == "MemAvailable:") available = kilobytes * 1024;
  }
  const int64_t limit = ReadNumber("/sys/fs/cgroup/memory.max");  // "max" is no number
  if (limit != kUnlimited) {
    int64_t used = ReadNumber("/sys/fs/cgroup/memory.current");
    // Cached files count as used there, and are given back when memory is asked for.
    std::ifstream stat("/sys/fs/cgroup/memory.stat");
    for (int64_t bytes = 0; used != kUnlimited && stat >> key >> bytes;) {
      if (key == "inactive_file") used -= std::min(used, bytes);
    }
    if (used != kUnlimited) available = std::min(available, std::max<int64_t>(0, limit - used));
  }
  return available == kUnlimited ? int64_t{1} << 30 : available;
}

MemoryBudget::MemoryBudget(int64_t total) : total_(std::max<int64_t>(1, total)) {}

MemoryBudget::Share::Share(MemoryBudget& budget, int64_t bytes)
    : budget_(budget), bytes_(std::clamp<int64_t>(bytes, 0, budget.total_)) {
  std::unique_lock lock(budget_.mutex_);
  while (budget_.held_ > 0 && budget_.held_ + bytes_ > budget_.total_) {
    budget_.freed_.wait_for(lock, std::chrono::milliseconds(200));
    core::ThrowIfInterrupted();
  }
  budget_.held_ += bytes_;
}

MemoryBudget::Share::~Share() {
  std::lock_guard lock(budget_.mutex_);
  budget_.held_ -= bytes_;
  budget_.freed_.notify_all();
}

int64_t DiskBudget::FreeLocked() {
  int64_t free = core::FreeBytes(folder_);
  for (const auto& [part, bytes] : needs_) {
    std::error_code error;
    const auto written = fs::file_size(part, error);
    free -= std::max<int64_t>(0, bytes - (error ? 0 : static_cast<int64_t>(written)));
  }
  return free;
}

int64_t DiskBudget::Free() {
  std::lock_guard lock(mutex_);
  return FreeLocked();
}

DiskBudget::Share::Share(DiskBudget& budget, const std::string& what, const fs::path& part,
                         int64_t bytes)
    : budget_(budget) {
  std::lock_guard lock(budget_.mutex_);
  const int64_t free = budget_.FreeLocked();
  if (free < bytes) {
    throw core::MachineError(
        fmt::format("{} has {:.3g} MB left, {} needs about {:.3g} MB", budget_.folder_.string(),
                    static_cast<double>(std::max<int64_t>(0, free)) / 1e6, what,
                    static_cast<double>(bytes) / 1e6),
        "free some space, write to another disk, or use --encoding jpeg");
  }
  entry_ = budget_.needs_.emplace(budget_.needs_.end(), part, bytes);
}

DiskBudget::Share::~Share() {
  std::lock_guard lock(budget_.mutex_);
  budget_.needs_.erase(entry_);
}

}  // namespace eosin::tiling
