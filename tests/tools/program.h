// SPDX-License-Identifier: Apache-2.0
// Runs the real program in a test and keeps what it said.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
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

// The program running beside the test; killed when this goes.
class RunningEosin {
 public:
  RunningEosin(std::vector<std::string> arguments, fs::path log) : log_(std::move(log)) {
    const std::string program = Program().string();
    std::vector<char*> words = {const_cast<char*>(program.c_str())};
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      const int out = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      ::dup2(out, STDOUT_FILENO);
      ::dup2(out, STDERR_FILENO);
      execv(words[0], words.data());
      _exit(127);
    }
  }
  ~RunningEosin() {
    if (pid_ > 0 && !Ended()) {
      Signal(SIGKILL);
      Wait();
    }
  }
  RunningEosin(const RunningEosin&) = delete;
  RunningEosin& operator=(const RunningEosin&) = delete;

  void Signal(int signal) {
    if (!ended_) ::kill(pid_, signal);
  }
  bool Ended() {
    if (!ended_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) ended_ = true;
    return ended_;
  }
  Outcome Wait() {
    if (!ended_) ::waitpid(pid_, &status_, 0);
    ended_ = true;
    std::ifstream in(log_);
    return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_),
            std::string(std::istreambuf_iterator<char>(in), {})};
  }

 private:
  fs::path log_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

}  // namespace eosin::testing
