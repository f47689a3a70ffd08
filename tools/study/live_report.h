// SPDX-License-Identifier: Apache-2.0
// The files of a study as they grow: report.html, study.json, results.csv, curves.csv, summary.md,
// written anew, each whole, as models are finished.
#pragma once

#include <filesystem>

#include "segment/study/analysis/analysis.h"
#include "tools/study/prepare.h"

namespace eosin::tools {

class LiveReport {
 public:
  LiveReport(const segment::StudyOptions& options, const PreparedStudy& prepared,
             std::filesystem::path run);

  // After a model: unless another process is writing at the moment, or the last report took so long
  // that a new one now would cost more than a fiftieth of the time since.
  void Update(const segment::JobBoard& board);
  // At the end, in any case.
  segment::Analysis WriteFinal(const segment::JobBoard& board);

  double seconds() const { return seconds_; }  // spent here in all

 private:
  segment::Analysis Write(const segment::JobBoard& board);

  const segment::StudyOptions& options_;
  const PreparedStudy& prepared_;
  const std::filesystem::path run_;
  double seconds_ = 0, last_cost_ = 0, last_end_ = 0;
};

}  // namespace eosin::tools
