// SPDX-License-Identifier: Apache-2.0
#include "tools/study/live_report.h"

#include <chrono>

#include "core/base/lock.h"
#include "segment/study/report/report.h"

namespace eosin::tools {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr double kShare = 0.02;  // of the time that reports may cost

}  // namespace

LiveReport::LiveReport(const segment::StudyOptions& options, const PreparedStudy& prepared,
                       std::filesystem::path run)
    : options_(options), prepared_(prepared), run_(std::move(run)), last_end_(Now()) {}

segment::Analysis LiveReport::Write(const segment::JobBoard& board) {
  const double start = Now();
  const segment::Analysis analysis =
      segment::Analyze(options_, prepared_.plan, board.results(), board.Tuned());
  segment::WriteAnalysis(options_, prepared_.plan, board.results(), analysis, run_);
  segment::WriteStudyReport(options_, *prepared_.data, prepared_.plan, board.results(), analysis,
                            prepared_.extras, run_);
  last_end_ = Now();
  last_cost_ = last_end_ - start;
  seconds_ += last_cost_;
  return analysis;
}

void LiveReport::Update(const segment::JobBoard& board) {
  if (board.complete() || last_cost_ > kShare * (Now() - last_end_)) return;
  if (const auto lock = core::FileLock::Try(run_ / "locks" / "report.lock")) Write(board);
}

segment::Analysis LiveReport::WriteFinal(const segment::JobBoard& board) {
  const core::FileLock lock = core::FileLock::Wait(run_ / "locks" / "report.lock");
  return Write(board);
}

}  // namespace eosin::tools
