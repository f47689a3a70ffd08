// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/result_table.h"

#include <fmt/format.h>
#include <charconv>
#include <cstring>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/lock.h"
#include "core/base/log.h"
#include "core/formats/csv.h"
#include "tiling/batch/export.h"
#include "tiling/batch/report.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;

constexpr auto kWriteEvery = std::chrono::seconds(2);
constexpr const char* kLock = ".tiles.lock";
constexpr const char* kReportLock = ".report.lock";
constexpr const char* kWarningEnd = " | ";  // between warnings of a cell

// One column: how a cell is written and read back.
struct Column {
  std::string name;
  std::string (*write)(const SlideResult&);
  void (*read)(const std::string& cell, SlideResult* result);
};

template <typename T>
T Number(const std::string& cell, T absent) {
  if (cell.empty()) return absent;
  T value{};
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size()) {
    throw core::DataError("\"" + cell + "\" is no number", "remove tiles.csv, it is written anew");
  }
  return value;
}

std::string Positive(double value) { return value > 0 ? fmt::format("{:.6g}", value) : ""; }

bool Made(const SlideResult& r) { return r.status == "done" || r.status == "skipped"; }

#define EOSIN_TEXT(name, field)                                          \
  Column {                                                               \
    name, [](const SlideResult& r) { return std::string(r.field); },     \
        [](const std::string& cell, SlideResult* r) { r->field = cell; } \
  }
#define EOSIN_COUNT(name, field)                                        \
  Column {                                                              \
    name, [](const SlideResult& r) { return std::to_string(r.field); }, \
        [](const std::string& cell, SlideResult* r) {                   \
          r->field = Number<decltype(r->field)>(cell, 0);               \
        }                                                               \
  }
#define EOSIN_SCALE(name, field)                                                              \
  Column {                                                                                    \
    name, [](const SlideResult& r) { return Positive(r.field); },                             \
        [](const std::string& cell, SlideResult* r) { r->field = Number<double>(cell, 0.0); } \
  }
#define EOSIN_REJECTED(i)                                                                          \
  Column {                                                                                         \
    std::string("rejected_") + RejectionName(static_cast<Rejection>(i)),                           \
        [](const SlideResult& r) { return std::to_string(r.rejected[i]); },                        \
        [](const std::string& cell, SlideResult* r) { r->rejected[i] = Number<int64_t>(cell, 0); } \
  }

const std::vector<Column>& Columns() {
  static_assert(kRejections == 7);
  static const std::vector<Column> kColumns = {
      {"slide", [](const SlideResult& r) { return r.slide.string(); },
       [](const std::string& cell, SlideResult* r) {
         r->slide = cell;
         r->stem = r->slide.stem().string();
       }},
      EOSIN_TEXT("status", status),
      EOSIN_TEXT("reason", reason),
      EOSIN_TEXT("hint", hint),
      EOSIN_COUNT("patches", tiles),
      EOSIN_COUNT("bad", bad),
      EOSIN_REJECTED(0),
      EOSIN_REJECTED(1),
      EOSIN_REJECTED(2),
      EOSIN_REJECTED(3),
      EOSIN_REJECTED(4),
      EOSIN_REJECTED(5),
      EOSIN_REJECTED(6),
      {"tissue",
       [](const SlideResult& r) {
         return r.tissue_share >= 0 ? fmt::format("{:.4f}", r.tissue_share) : std::string();
       },
       [](const std::string& cell, SlideResult* r) { r->tissue_share = Number<double>(cell, -1); }},
      EOSIN_COUNT("bytes", bytes),
      {"seconds", [](const SlideResult& r) { return fmt::format("{:.2f}", r.seconds); },
       [](const std::string& cell, SlideResult* r) { r->seconds = Number<double>(cell, 0); }},
      EOSIN_SCALE("mpp", mpp),
      EOSIN_TEXT("mpp_source", mpp_source),
      EOSIN_SCALE("tile_mpp", tile_mpp),
      EOSIN_COUNT("tile_size", tile_size),
      EOSIN_COUNT("level", level),
      EOSIN_TEXT("mode", mode),
      EOSIN_TEXT("reader", reader),
      {"warnings",
       [](const SlideResult& r) { return fmt::format("{}", fmt::join(r.warnings, kWarningEnd)); },
       [](const std::string& cell, SlideResult* r) {
         for (size_t at = 0; at < cell.size();) {
           const size_t end = std::min(cell.find(kWarningEnd, at), cell.size());
           r->warnings.push_back(cell.substr(at, end - at));
           at = end + std::strlen(kWarningEnd);
         }
       }},
      {"store", [](const SlideResult& r) { return Made(r) ? r.stem + ".h5" : std::string(); },
       [](const std::string&, SlideResult*) {}},
  };
  return kColumns;
}

#undef EOSIN_TEXT
#undef EOSIN_COUNT
#undef EOSIN_SCALE
#undef EOSIN_REJECTED

std::vector<std::string> Header() {
  std::vector<std::string> names;
  for (const Column& column : Columns()) names.push_back(column.name);
  return names;
}

// By slide name; empty, with a warning, when the file cannot be used.
std::map<std::string, SlideResult> KnownResults(const fs::path& csv) {
  std::map<std::string, SlideResult> known;
  std::error_code ignored;
  if (!fs::exists(csv, ignored)) return known;
  try {
    for (SlideResult& result : ReadResults(csv)) known[result.stem] = std::move(result);
  } catch (const core::DataError& error) {
    core::LogWarning(fmt::format("{}; it is written anew", error.what()));
    known.clear();
  }
  return known;
}

const std::vector<std::string> kFailedHeader = {"slide", "mpp",     "annotation",
                                                "class", "patient", "reason"};

std::string AbsolutePath(const fs::path& path) {
  return path.empty() ? std::string() : fs::absolute(path).lexically_normal().string();
}

}  // namespace

std::vector<SlideResult> ReadResults(const fs::path& csv) {
  const core::CsvTable table = core::ReadCsv(csv);
  if (table.header != Header()) {
    throw core::DataError(csv.string() + " is not a result table of this version",
                          "remove it, it is written anew");
  }
  std::vector<SlideResult> results;
  for (const auto& row : table.rows) {
    SlideResult& result = results.emplace_back();
    for (size_t i = 0; i < row.size(); ++i) Columns()[i].read(row[i], &result);
  }
  return results;
}

std::string ResultsCsv(const std::vector<SlideResult>& results) {
  std::string text = core::CsvRow(Header());
  for (const SlideResult& result : results) {
    std::vector<std::string> cells;
    for (const Column& column : Columns()) cells.push_back(column.write(result));
    text += core::CsvRow(cells);
  }
  return text;
}

void ResultTable::Add(const SlideEntry& entry, const SlideResult& result) {
  std::lock_guard guard(mutex_);
  own_[result.stem] = {entry, result};
  if (std::chrono::steady_clock::now() - written_ < kWriteEvery) return;
  const core::FileLock lock = core::FileLock::Wait(folder_ / kLock);
  WriteLocked();
}

void ResultTable::Write() {
  std::lock_guard guard(mutex_);
  const core::FileLock lock = core::FileLock::Wait(folder_ / kLock);
  WriteLocked();
}

void ResultTable::Finish() {
  std::lock_guard guard(mutex_);
  // The report reads up to 200 stores: others need not wait with their rows for that.
  const core::FileLock report_lock = core::FileLock::Wait(folder_ / kReportLock);
  std::vector<SlideResult> all;
  {
    const core::FileLock lock = core::FileLock::Wait(folder_ / kLock);
    all = WriteLocked();
    std::vector<ProcessListRow> rows;
    for (const SlideResult& result : all) {
      rows.push_back({result.slide.filename().string(), result.status});
    }
    core::WriteFileAtomic(folder_ / "process_list_autogen.csv", ProcessListCsv(rows));
  }
  WriteTilingReport(all, folder_);
}

std::vector<SlideResult> ResultTable::WriteLocked() {
  std::map<std::string, SlideResult> rows = KnownResults(folder_ / "tiles.csv");
  for (const auto& [stem, own] : own_) {
    const auto known = rows.find(stem);
    const bool keep = own.result.status == "skipped" && known != rows.end() && Made(known->second);
    if (keep) {
      known->second.status = "skipped";
    } else {
      rows[stem] = own.result;
    }
  }
  std::vector<SlideResult> all;
  for (auto& [stem, result] : rows) all.push_back(std::move(result));
  core::WriteFileAtomic(folder_ / "tiles.csv", ResultsCsv(all));

  // The retry list: those of others stay, with what is known of them.
  const fs::path failed_path = folder_ / "failed.csv";
  std::map<std::string, std::vector<std::string>> failed;
  std::error_code unknown;
  if (fs::exists(failed_path, unknown)) {
    try {
      const core::CsvTable table = core::ReadCsv(failed_path);
      if (table.header == kFailedHeader) {
        for (const auto& row : table.rows) failed[fs::path(row[0]).stem().string()] = row;
      }
    } catch (const core::DataError& error) {
      core::LogWarning(fmt::format("{}; it is written anew", error.what()));
    }
  }
  for (const auto& [stem, own] : own_) {
    failed.erase(stem);
    if (own.result.status != "failed") continue;
    failed[stem] = {AbsolutePath(own.entry.slide),
                    own.entry.mpp > 0 ? fmt::format("{}", own.entry.mpp) : "",
                    AbsolutePath(own.entry.annotation),
                    own.entry.class_name,
                    own.entry.patient,
                    own.result.reason};
  }
  std::string text = core::CsvRow(kFailedHeader);
  for (const auto& [stem, row] : failed) text += core::CsvRow(row);
  if (failed.empty()) {
    std::error_code ignored;
    fs::remove(failed_path, ignored);
  } else {
    core::WriteFileAtomic(failed_path, text);
  }
  written_ = std::chrono::steady_clock::now();
  return all;
}

}  // namespace eosin::tiling
