// SPDX-License-Identifier: Apache-2.0
// The two threading shapes eosin uses: a parallel loop and a bounded queue between stages.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace eosin::core {

// Calls body(i) for i in [0, count) on up to `threads` threads (the caller's is one of them). The
// first exception stops the loop and is rethrown here.
template <typename Body>
void ParallelFor(int64_t count, int threads, Body&& body) {
  std::atomic<int64_t> next{0};
  std::exception_ptr error;
  std::mutex mutex;
  auto work = [&] {
    for (int64_t i = next++; i < count; i = next++) {
      try {
        body(i);
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::jthread> helpers;
  for (int t = 1; t < threads && t < count; ++t) helpers.emplace_back(work);
  work();
  helpers.clear();
  if (error) std::rethrow_exception(error);
}

// Blocking FIFO with room for `capacity` items. After Close, Push returns false and Pop drains what
// is left, then returns nothing.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  bool Push(T item) {
    std::unique_lock lock(mutex_);
    can_push_.wait(lock, [&] { return closed_ || items_.size() < capacity_; });
    if (closed_) return false;
    items_.push_back(std::move(item));
    can_pop_.notify_one();
    return true;
  }

  std::optional<T> Pop() {
    std::unique_lock lock(mutex_);
    can_pop_.wait(lock, [&] { return closed_ || !items_.empty(); });
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    can_push_.notify_one();
    return item;
  }

  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    can_push_.notify_all();
    can_pop_.notify_all();
  }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable can_push_, can_pop_;
  std::deque<T> items_;
  bool closed_ = false;
};

// Cores this process may use (affinity and cgroup quota respected), at least 1.
int AvailableCores();

}  // namespace eosin::core
