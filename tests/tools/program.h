// SPDX-License-Identifier: Apache-2.0
// Runs the real program in a test and keeps what it said.
#pragma once

#include <sys/wait.h>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/testing.h"

namespace eosin::testing {

struct Outcome {
  int exit_code = -1;
  std::string output;  // stdout and stderr together
};

// The program under test, build/<preset>/bin/<name>.
inline fs::path Program(const std::string& name = "eosin") {
  return fs::path(EOSIN_BINARY_DIR) / "bin" / name;
}

inline std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

inline Outcome RunEosin(const std::vector<std::string>& arguments, const std::string& prefix = "") {
  std::string command = prefix + Quoted(Program().string());
  for (const std::string& argument : arguments) command += " " + Quoted(argument);
  command += " 2>&1 < /dev/null";
  Outcome outcome;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return outcome;
  char buffer[4096];
  while (size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) outcome.output.append(buffer, n);
  const int status = ::pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace eosin::testing
