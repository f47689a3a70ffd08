// SPDX-License-Identifier: Apache-2.0
// Threads that end together: what one throws stops the others and is rethrown.
#pragma once

#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace eosin::tiling {

// Calls body(thread, stop) once a thread, for 0 <= thread < threads; the caller's is thread 0.
// Bodies return soon after stop.stop_requested(), and may request it.
template <typename Body>
void RunTeam(int threads, Body&& body) {
  std::stop_source stop;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&](int thread) {
    try {
      body(thread, stop);
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      stop.request_stop();
    }
  };
  {
    std::vector<std::jthread> helpers;  // joined at the end of the scope
    for (int t = 1; t < threads; ++t) helpers.emplace_back([&run, t] { run(t); });
    run(0);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace eosin::tiling
