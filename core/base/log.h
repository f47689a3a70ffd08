// SPDX-License-Identifier: Apache-2.0
// Log lines for people: to stderr, and to a file when one is attached. Thread-safe.
#pragma once

#include <filesystem>
#include <string>

namespace eosin::core {

void LogInfo(const std::string& message);
void LogWarning(const std::string& message);  // printed as "warning: ..."

// Also appends every line, with a UTC time, to this file until the returned object dies.
class LogFile {
 public:
  explicit LogFile(const std::filesystem::path& path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
};

// No info lines on stderr (files still get them).
void SetQuiet(bool quiet);

// UTC, ISO 8601, seconds: for provenance and log files only.
std::string UtcNow();

}  // namespace eosin::core
