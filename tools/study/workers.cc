// SPDX-License-Identifier: Apache-2.0
#include "tools/study/workers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"

#ifdef EOSIN_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVisible = "CUDA_VISIBLE_DEVICES";

std::vector<std::string> VisibleGpus() {
  std::vector<std::string> gpus;
#ifdef EOSIN_WITH_CUDA
  if (const char* list = std::getenv(kVisible)) {
    std::istringstream in(list);
    for (std::string gpu; std::getline(in, gpu, ',');) gpus.push_back(gpu);
  } else {
    for (int i = 0; i < c10::cuda::device_count(); ++i) gpus.push_back(std::to_string(i));
  }
#endif
  return gpus;
}

// The last "error: ..." and "hint: ..." lines of a log.
std::pair<std::string, std::string> LastWords(const fs::path& log) {
  std::pair<std::string, std::string> words;
  std::istringstream in(fs::exists(log) ? core::ReadFile(log) : "");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("error: ", 0) == 0) words.first = line.substr(7);
    if (line.rfind("hint: ", 0) == 0) words.second = line.substr(6);
  }
  return words;
}

}  // namespace

StudyWorkers::StudyWorkers(const fs::path& run, int count, bool cpu, int threads) {
  core::MakeFolder(run / "logs");
  const std::vector<std::string> gpus = cpu ? std::vector<std::string>{} : VisibleGpus();
  for (int k = 0; k < count; ++k) {
    Start(run, k, gpus.empty() ? "" : gpus[static_cast<size_t>(k) % gpus.size()], threads);
  }
  core::LogInfo(fmt::format("{} processes{}, {} thread{} each; their words are in {}", count,
                            gpus.empty() ? "" : fmt::format(" on {} GPU(s)", gpus.size()), threads,
                            threads == 1 ? "" : "s", (run / "logs").string()));
}

void StudyWorkers::Start(const fs::path& run, int number, const std::string& gpu, int threads) {
  const fs::path log = run / "logs" / fmt::format("worker-{}.log", number);
  std::vector<std::string> words = {"eosin-torch",
                                    "study",
                                    "--out",
                                    run.string(),
                                    "--resume",
                                    "--worker",
                                    fmt::format("{}", number)};
  for (const char* key : {"compute.threads", "workers"}) {
    words.push_back("--set");
    words.push_back(fmt::format("{}={}", key, threads));
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::vector<std::string> environment;
  const std::string visible = std::string(kVisible) + "=";
  for (char** entry = environ; *entry; ++entry) {
    if (gpu.empty() || std::strncmp(*entry, visible.c_str(), visible.size()) != 0) {
      environment.emplace_back(*entry);
    }
  }
  if (!gpu.empty()) environment.push_back(visible + gpu);
  std::vector<char*> environment_words;
  for (std::string& entry : environment) environment_words.push_back(entry.data());
  environment_words.push_back(nullptr);

  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t parent = ::getpid();
  const pid_t pid = out < 0 ? -1 : ::fork();
  if (pid == 0) {  // only calls that are safe after fork
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::setpgid(0, 0);  // Ctrl-C reaches the parent alone, which ends its processes
    ::dup2(in, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execve("/proc/self/exe", arguments.data(), environment_words.data());
    ::_exit(127);
  }
  const int error = errno;
  ::close(out);
  ::close(in);
  if (pid < 0) {
    throw core::MachineError(
        fmt::format("cannot start a process for {}: {}", log.string(), std::strerror(error)),
        "fewer study.jobs");
  }
  processes_.push_back({pid, log});
}

StudyWorkers::~StudyWorkers() {
  for (const Process& process : processes_) {
    if (process.pid > 0)
      ::kill(process.pid, SIGKILL);  // a job that is cut goes on from its checkpoint
  }
  for (const Process& process : processes_) {
    if (process.pid > 0) ::waitpid(process.pid, nullptr, 0);
  }
}

void StudyWorkers::Check() {
  for (Process& process : processes_) {
    int status = 0;
    if (process.pid <= 0 || ::waitpid(process.pid, &status, WNOHANG) != process.pid) continue;
    process.pid = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    if (WIFSIGNALED(status)) {
      throw core::MachineError(
          fmt::format("a process of the study was ended by signal {} (its log: {})",
                      WTERMSIG(status), process.log.string()),
          "memory? fewer study.jobs; continue with --resume");
    }
    auto [message, hint] = LastWords(process.log);
    if (message.empty())
      message = fmt::format("a process of the study failed, see {}", process.log.string());
    if (hint.empty()) hint = "continue with --resume when it is put right";
    switch (WEXITSTATUS(status)) {
      case static_cast<int>(core::ExitCode::kUsage):
        throw core::ConfigError(message, hint);
      case static_cast<int>(core::ExitCode::kMachine):
        throw core::MachineError(message, hint);
      case static_cast<int>(core::ExitCode::kInterrupted):
        throw core::InterruptedError(message, hint);
      default:
        throw core::DataError(message, hint);
    }
  }
}

}  // namespace eosin::tools
