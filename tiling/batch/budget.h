// SPDX-License-Identifier: Apache-2.0
// What the slides in flight may use together: memory and disk space.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <list>
#include <mutex>
#include <string>

namespace eosin::tiling {

// Bytes this process may still take without swapping: the machine's MemAvailable, or what its
// control group leaves where that is less.
int64_t AvailableMemory();

// A weighted semaphore. Who asks for more than the whole gets the whole.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t total);

  // Holds `bytes` until destroyed. Waits for others; one holder always may run. InterruptedError.
  class Share {
   public:
    Share(MemoryBudget& budget, int64_t bytes);
    ~Share();
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

   private:
    MemoryBudget& budget_;
    int64_t bytes_;
  };

 private:
  const int64_t total_;
  int64_t held_ = 0;
  std::mutex mutex_;
  std::condition_variable freed_;
};

// Disk space that the stores in flight will still take: their need less what their part files hold
// already.
class DiskBudget {
 public:
  explicit DiskBudget(std::filesystem::path folder) : folder_(std::move(folder)) {}

  class Share {
   public:
    // part: the file that grows. MachineError, naming `what`, when `bytes` more are not free.
    Share(DiskBudget& budget, const std::string& what, const std::filesystem::path& part,
          int64_t bytes);
    ~Share();
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

   private:
    DiskBudget& budget_;
    std::list<std::pair<std::filesystem::path, int64_t>>::iterator entry_;
  };

  // Free bytes that no store in flight needs.
  int64_t Free();

 private:
  int64_t FreeLocked();

  std::filesystem::path folder_;
  std::mutex mutex_;
  std::list<std::pair<std::filesystem::path, int64_t>> needs_;
};

}  // namespace eosin::tiling
