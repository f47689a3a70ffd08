// SPDX-License-Identifier: Apache-2.0
// One progress line with rate and ETA on a terminal; plain lines now and then otherwise.
// Thread-safe. Monotonic clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace eosin::core {

class Progress {
 public:
  // unit: plural noun, e.g. "tiles". total 0 = unknown. already: done by earlier processes; counts
  // towards the total, not towards the rate.
  Progress(std::string label, int64_t total, std::string unit, int64_t already = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Advance(int64_t count = 1);
  void SetLabel(std::string label);
  void SetTotal(int64_t total);
  void SetNote(std::string note);  // shown behind the rate, e.g. "loss 4.31"

 private:
  void Print(bool last);

  std::mutex mutex_;
  std::string label_, unit_, note_;
  int64_t total_, already_, done_;
  std::chrono::steady_clock::time_point start_, printed_;
  bool terminal_;
};

// Wipes the progress line, if one stands on the terminal, so that a log line starts clean.
void ClearProgressLine();

}  // namespace eosin::core
