// SPDX-License-Identifier: Apache-2.0
#include "engine/training/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/formats/csv.h"
#include "core/formats/tfevents.h"

namespace eosin::engine {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kState = "state.json";
constexpr const char* kLock = "run.lock";
constexpr const char* kEvents = "events.out.tfevents.0.eosin";

Json ReadJson(const fs::path& path) {
  try {
    return Json::parse(core::ReadFile(path));
  } catch (const Json::exception&) {
    throw core::DataError(path.string() + " is damaged", "start a new run in another folder");
  }
}

// The kind of run that a folder holds; empty when it holds none.
std::string KindOf(const fs::path& folder, bool* finished) {
  if (!fs::exists(folder / kState)) return "";
  const Json state = ReadJson(folder / kState);
  if (!state.is_object()) return "";
  if (finished) *finished = state.value("finished", false);
  return state.value("kind", "");
}

// Empty, or left by a process that was killed while making a run here.
bool IsFresh(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != "config.toml" && name != "config.toml.part" && name != "state.json.part" &&
        !name.starts_with(kLock)) {
      return false;
    }
  }
  return true;
}

// Throws when a run of this kind cannot be started in the folder. True when one that failed before
// its first checkpoint lies there.
bool HoldsFailedRun(const fs::path& path, const std::string& kind) {
  if (IsFresh(path)) return false;
  bool finished = false;
  const std::string found = KindOf(path, &finished);
  if (found.empty()) {
    throw core::DataError(fmt::format("the folder {} is not empty", path.string()),
                          "choose another --out, or empty it first");
  }
  if (found != kind || finished || fs::exists(path / "checkpoints") ||
      fs::exists(path / "result.json")) {
    throw core::DataError(
        fmt::format("{} holds a {} run already", path.string(), found),
        found == kind
            ? fmt::format("continue it with --resume {}, or choose another --out", path.string())
            : "choose another --out");
  }
  return true;
}

std::vector<std::string> CommandLine() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  return words;
}

double WallTime() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string Number(double value) { return fmt::format("{}", value); }

// The text up to its last complete line: a killed run may leave half a line behind.
std::string WholeLines(const fs::path& path) {
  if (!fs::exists(path)) return "";
  std::string text = core::ReadFile(path);
  text.resize(text.rfind('\n') + 1);  // npos + 1 == 0
  return text;
}

std::ofstream Append(const fs::path& path) {
  std::ofstream stream(path, std::ios::binary | std::ios::app);
  if (!stream) {
    throw core::MachineError("cannot write " + path.string(), "check the rights of the folder");
  }
  return stream;
}

}  // namespace

RunFolder::RunFolder(fs::path path, std::string kind)
    : path_(std::move(path)), kind_(std::move(kind)) {}

RunFolder RunFolder::Create(const fs::path& path, const std::string& kind,
                            const std::string& config_toml) {
  core::MakeFolder(path);
  HoldsFailedRun(path, kind);  // a foreign folder gets no lock file
  RunFolder run(path, kind);
  run.Lock();
  if (HoldsFailedRun(path, kind)) {  // again: another process may have been here meanwhile
    for (const char* name :
         {"metrics.csv", "metrics.jsonl", kEvents, "provenance.json", "log.txt"}) {
      fs::remove(path / name);
    }
    fs::remove_all(path / "nan");  // the step that the failed run kept
  }
  core::WriteFileAtomic(run.config(), config_toml);
  run.WriteState();
  run.log_ = std::make_unique<core::LogFile>(run / "log.txt");
  return run;
}

RunFolder RunFolder::Open(const fs::path& path, const std::string& kind) {
  RunFolder run(path, kind);
  const std::string found = KindOf(path, &run.finished_);
  if (found != kind || !fs::exists(run.config())) {
    throw core::DataError(
        found.empty() || found == kind
            ? fmt::format("there is no run in {}", path.string())
            : fmt::format("{} holds a {} run, not a {} run", path.string(), found, kind),
        "give the folder that --out named");
  }
  if (!run.finished_) {
    run.Lock();
    KindOf(path, &run.finished_);  // again: its last process may have ended meanwhile
  }
  run.log_ = std::make_unique<core::LogFile>(run / "log.txt");
  return run;
}

bool RunFolder::IsFinished(const fs::path& path, const std::string& kind) {
  bool finished = false;
  return KindOf(path, &finished) == kind && finished;
}

void RunFolder::Lock() {
  if (lock_) return;
  lock_ = core::FileLock::Try(path_ / kLock);
  if (lock_) return;
  throw core::MachineError(path_.string() + " is being worked on by another process",
                           "wait for it, or end it and try again");
}

void RunFolder::WriteState() const {
  const Json state = {{"kind", kind_}, {"finished", finished_}};
  core::WriteFileAtomic(path_ / kState, state.dump(2) + "\n");
}

void RunFolder::MarkFinished() {
  finished_ = true;
  WriteState();
}

void RunFolder::AddProvenance(const std::map<std::string, std::string>& facts) {
  const fs::path path = path_ / "provenance.json";
  Json all = fs::exists(path) ? ReadJson(path) : Json{{"processes", Json::array()}};
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  Json process = {{"started", core::UtcNow()},
                  {"host", host},
                  {"command", CommandLine()},
                  {"eosin", EOSIN_VERSION},
                  {"compiler", __VERSION__}};
  for (const auto& [key, value] : facts) process[key] = value;
  all["processes"].push_back(process);
  core::WriteFileAtomic(path, all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

MetricsLog::MetricsLog(const fs::path& folder, std::vector<std::string> columns, int64_t last_step)
    : columns_(std::move(columns)) {
  const fs::path csv = folder / "metrics.csv", jsonl = folder / "metrics.jsonl",
                 events = folder / kEvents;
  std::vector<std::string> header = {"step"};
  header.insert(header.end(), columns_.begin(), columns_.end());

  std::string kept = core::CsvRow(header);
  const std::string old = last_step < 0 ? "" : WholeLines(csv);
  if (!old.empty()) {
    const core::CsvTable table = core::ParseCsv(old, csv.string());
    if (table.header != header) {
      throw core::DataError(csv.string() + " has other columns than this version writes",
                            "finish the run with the version that started it");
    }
    for (const auto& row : table.rows) {
      if (std::atoll(row[0].c_str()) <= last_step) kept += core::CsvRow(row);
    }
  }
  core::WriteFileAtomic(csv, kept);

  kept.clear();
  std::string lines = last_step < 0 ? "" : WholeLines(jsonl);
  for (size_t at = 0; at < lines.size();) {
    const size_t end = lines.find('\n', at) + 1;
    const std::string line = lines.substr(at, end - at);
    const Json row = Json::parse(line, nullptr, false);
    if (row.is_object() && row.value("step", int64_t{0}) <= last_step) kept += line;
    at = end;
  }
  core::WriteFileAtomic(jsonl, kept);

  kept = core::TfRecord(core::TfVersionEvent(WallTime()));
  if (last_step >= 0 && fs::exists(events)) {
    for (const core::TfScalar& scalar : core::ReadTfScalars(events)) {
      if (scalar.step > last_step) continue;
      kept += core::TfRecord(
          core::TfScalarEvent(scalar.wall_time, scalar.step, scalar.tag, scalar.value));
    }
  }
  core::WriteFileAtomic(events, kept);

  csv_ = Append(csv);
  jsonl_ = Append(jsonl);
  events_ = Append(events);
}

void MetricsLog::Write(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::vector<std::string> cells(columns_.size() + 1);
  cells[0] = std::to_string(step);
  Json row = {{"step", step}};
  const double now = WallTime();
  for (const auto& [name, value] : values) {
    const auto column = std::find(columns_.begin(), columns_.end(), name);
    if (column == columns_.end()) continue;
    cells[static_cast<size_t>(column - columns_.begin()) + 1] = Number(value);
    row[name] = std::isfinite(value) ? Json(value) : Json(nullptr);  // JSON has no NaN
    events_ << core::TfRecord(core::TfScalarEvent(now, step, name, static_cast<float>(value)));
  }
  csv_ << core::CsvRow(cells) << std::flush;
  jsonl_ << row.dump() << '\n' << std::flush;
  events_ << std::flush;
  if (!csv_ || !jsonl_ || !events_) {
    throw core::MachineError("cannot write the metrics", "is the disk full?");
  }
}

}  // namespace eosin::engine
