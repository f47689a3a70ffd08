// SPDX-License-Identifier: Apache-2.0
// The processes of a study that trains several models at a time. Each is this program again, works
// off jobs of the same folder (segment/study/run/job_board.h) and dies with its parent.
#pragma once

#include <sys/types.h>
#include <filesystem>
#include <vector>

namespace eosin::tools {

class StudyWorkers {
 public:
  // Starts `count` processes `study --out RUN --resume --worker K`, their output in
  // RUN/logs/worker-K.log. GPU processes see one of the visible GPUs each, in turn. threads: of
  // each, on the CPU. MachineError when none starts.
  StudyWorkers(const std::filesystem::path& run, int count, bool cpu, int threads);
  ~StudyWorkers();  // ends those that run
  StudyWorkers(const StudyWorkers&) = delete;
  StudyWorkers& operator=(const StudyWorkers&) = delete;

  // Throws what ended a process that did not end well: its own words, or MachineError for a signal.
  void Check();

 private:
  struct Process {
    pid_t pid = -1;
    std::filesystem::path log;
  };
  void Start(const std::filesystem::path& run, int number, const std::string& gpu, int threads);

  std::vector<Process> processes_;
};

}  // namespace eosin::tools
