// SPDX-License-Identifier: Apache-2.0
#include "core/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>
#include <atomic>
#include <cstdio>

namespace eosin::core {
namespace {

std::atomic<bool> g_line_shown{false};

std::string Duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

}  // namespace

Progress::Progress(std::string label, int64_t total, std::string unit, int64_t already)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      already_(already),
      done_(already),
      start_(std::chrono::steady_clock::now()),
      printed_(start_),
      terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  std::lock_guard lock(mutex_);
  Print(true);
}

void Progress::Advance(int64_t count) {
  std::lock_guard lock(mutex_);
  done_ += count;
  const auto now = std::chrono::steady_clock::now();
  const auto every = terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(15000);
  if (now - printed_ >= every) Print(false);
}

void Progress::SetLabel(std::string label) {
  std::lock_guard lock(mutex_);
  label_ = std::move(label);
}

void Progress::SetTotal(int64_t total) {
  std::lock_guard lock(mutex_);
  total_ = total;
}

void Progress::SetNote(std::string note) {
  std::lock_guard lock(mutex_);
  note_ = std::move(note);
}

void Progress::Print(bool last) {
  printed_ = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(printed_ - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_ - already_) / seconds : 0;
  std::string line = fmt::format("{}: {}", label_, done_);
  if (total_ > 0) line += fmt::format("/{}", total_);
  line += fmt::format(" {} ({:.4g}/s", unit_, rate);
  if (last) {
    line += fmt::format(", {})", Duration(seconds));
  } else if (total_ > done_ && rate > 0) {
    line += fmt::format(", {} left)", Duration(static_cast<double>(total_ - done_) / rate));
  } else {
    line += ")";
  }
  if (!note_.empty()) line += " " + note_;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s%s", line.c_str(), last ? "\n" : "");
    std::fflush(stderr);
    g_line_shown = !last;
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

void ClearProgressLine() {
  if (g_line_shown.exchange(false)) std::fputs("\r\033[K", stderr);
}

}  // namespace eosin::core
