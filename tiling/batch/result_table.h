// SPDX-License-Identifier: Apache-2.0
// What became of the slides of an output folder, over all runs and processes on it:
//   - tiles.csv: one row a slide, by the store's name
//   - failed.csv: a slide list of those that failed, for --list; only while there are any
//   - process_list_autogen.csv: CLAM's list of the same slides
//   - report.html: a section a slide
// Each writing is read-modify-write under the folder's lock: rows of other slides stay.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tiling/batch/slide_list.h"
#include "tiling/batch/slide_result.h"

namespace eosin::tiling {

// tiles.csv. DataError when it is not what Write writes.
std::vector<SlideResult> ReadResults(const std::filesystem::path& csv);
std::string ResultsCsv(const std::vector<SlideResult>& results);

class ResultTable {
 public:
  explicit ResultTable(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Writes tiles.csv and failed.csv when they are older than a few seconds. Of a slide that is
  // skipped, the row of the run that made it stays. Thread-safe.
  void Add(const SlideEntry& entry, const SlideResult& result);
  // tiles.csv and failed.csv. MachineError.
  void Write();
  // All four files.
  void Finish();

 private:
  struct Own {
    SlideEntry entry;
    SlideResult result;
  };
  std::vector<SlideResult> WriteLocked();

  const std::filesystem::path folder_;
  std::mutex mutex_;
  std::map<std::string, Own> own_;  // by stem
  std::chrono::steady_clock::time_point written_ = std::chrono::steady_clock::now();
};

}  // namespace eosin::tiling
