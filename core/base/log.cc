// SPDX-License-Identifier: Apache-2.0
#include "core/base/log.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <mutex>

#include "core/base/error.h"
#include "core/base/progress.h"

namespace eosin::core {
namespace {

std::mutex g_mutex;
std::ofstream g_file;
bool g_quiet = false;

void Write(const std::string& line, bool to_terminal) {
  std::lock_guard lock(g_mutex);
  if (to_terminal) {
    ClearProgressLine();
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  if (g_file.is_open()) g_file << UtcNow() << ' ' << line << std::endl;
}

}  // namespace

void LogInfo(const std::string& message) { Write(message, !g_quiet); }
void LogWarning(const std::string& message) { Write("warning: " + message, true); }
void SetQuiet(bool quiet) { g_quiet = quiet; }

LogFile::LogFile(const std::filesystem::path& path) {
  std::lock_guard lock(g_mutex);
  g_file.open(path, std::ios::app);
  if (!g_file) throw MachineError("cannot write " + path.string(), "check the folder's rights");
}

LogFile::~LogFile() {
  std::lock_guard lock(g_mutex);
  g_file.close();
}

std::string UtcNow() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace eosin::core
