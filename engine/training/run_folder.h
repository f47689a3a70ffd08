// SPDX-License-Identifier: Apache-2.0
// The folder of one run: config.toml (resolved; written before data is read), metrics, log.txt,
// provenance.json, checkpoints/, and state.json that says whether the run is finished.
// Torch-free. One process at a time writes a run: it holds the lock of run.lock (core::FileLock),
// which is free again when it dies. It has one RunFolder at a time (log.txt takes the log).
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/lock.h"
#include "core/base/log.h"

namespace eosin::engine {

namespace fs = std::filesystem;

class RunFolder {
 public:
  // Makes the folder with config.toml and opens log.txt. `kind` ("pretrain", "segment") is kept in
  // state.json. Throws DataError when the folder holds anything else, or a run that got as far as a
  // checkpoint (Open continues it) or a result; one that failed before that is started over.
  // MachineError when another process works on it.
  static RunFolder Create(const fs::path& path, const std::string& kind,
                          const std::string& config_toml);
  // An existing run of this kind. Throws DataError when there is none; MachineError when another
  // process works on it. A finished run is opened without its lock.
  static RunFolder Open(const fs::path& path, const std::string& kind);
  // For readers: false also when there is no such run. Takes no lock.
  static bool IsFinished(const fs::path& path, const std::string& kind);

  // Takes the lock unless it is held: for those who write to a finished run again.
  void Lock();

  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  fs::path config() const { return path_ / "config.toml"; }

  bool finished() const { return finished_; }
  void MarkFinished();

  // Adds this process to provenance.json: time, host, command line, program and compiler version,
  // and `facts` (LibTorch, device, hashes of the data, ...). A resumed run holds one entry a
  // process.
  void AddProvenance(const std::map<std::string, std::string>& facts);

 private:
  RunFolder(fs::path path, std::string kind);
  void WriteState() const;

  fs::path path_;
  std::string kind_;
  bool finished_ = false;
  std::optional<core::FileLock> lock_;
  std::unique_ptr<core::LogFile> log_;
};

// Time series of a run in three formats with the same content: metrics.csv (one column a name,
// empty cells where a row has no value), metrics.jsonl (one object a row) and a TensorBoard event
// file. Rows are appended and flushed; a torn last row of a killed run is dropped on reopening.
class MetricsLog {
 public:
  // Rows of earlier processes with step <= last_step stay, later ones are removed, so that a run
  // resumed from that step's checkpoint repeats nothing. last_step -1 starts empty.
  MetricsLog(const fs::path& folder, std::vector<std::string> columns, int64_t last_step);

  // One row. Names must be among the columns.
  void Write(int64_t step, const std::vector<std::pair<std::string, double>>& values);

 private:
  std::vector<std::string> columns_;
  std::ofstream csv_, jsonl_, events_;
};

}  // namespace eosin::engine
