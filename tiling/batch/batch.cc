// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/batch.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <deque>
#include <mutex>
#include <new>
#include <optional>
#include <thread>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "core/base/progress.h"
#include "core/base/threads.h"
#include "tiling/batch/budget.h"
#include "tiling/batch/export.h"
#include "tiling/batch/labels.h"
#include "tiling/batch/result_table.h"
#include "tiling/batch/slide_job.h"

namespace eosin::tiling {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto kPollLocked = std::chrono::milliseconds(100);

void CheckMask(const TileOptions& options, size_t slides) {
  if (!options.UsesMaskFile()) return;
  if (!fs::exists(options.tissue)) {
    std::vector<std::string> known = TissueMethods();
    known.push_back("none");
    const std::string nearest = core::NearestWord(options.tissue, known);
    throw core::ConfigError(
        "tissue = " + options.tissue + " is neither a method nor a file",
        nearest.empty() ? fmt::format("{}, or the path of a mask picture", fmt::join(known, ", "))
                        : "did you mean " + nearest + "?");
  }
  if (slides > 1 && !fs::is_directory(options.tissue)) {
    throw core::ConfigError(fmt::format("one mask, {}, for {} slides", options.tissue, slides),
                            "give a folder with one <slide name>.png a slide");
  }
}

// One line for all slides in flight: tiles done, of those planned and an extrapolation to slides
// that are not planned yet.
class BatchProgress {
 public:
  explicit BatchProgress(const std::vector<SlideEntry>& slides)
      : slides_(slides.size()), only_(slides.size() == 1 ? slides.front().Stem() : "") {}

  core::Progress* Planned(int64_t tiles) {
    std::lock_guard lock(mutex_);
    if (!line_) line_.emplace(Label(), 0, "tiles");
    ++planned_;
    tiles_ += tiles;
    Update();
    return &*line_;
  }

  void Finished(const SlideResult& result) {
    std::lock_guard lock(mutex_);
    ++finished_;
    if (result.status != "done") ++without_tiles_;
    if (!line_) return;
    Update();
    line_->SetLabel(Label());
  }

 private:
  std::string Label() const {
    return slides_ == 1 ? only_ : fmt::format("{}/{} slides", finished_, slides_);
  }
  void Update() {
    if (planned_ == 0) return;
    const auto to_plan = static_cast<int64_t>(slides_) - planned_ - without_tiles_;
    line_->SetTotal(tiles_ + tiles_ * std::max<int64_t>(0, to_plan) / planned_);
  }

  const size_t slides_;
  const std::string only_;
  std::mutex mutex_;
  int64_t planned_ = 0, finished_ = 0, without_tiles_ = 0, tiles_ = 0;
  std::optional<core::Progress> line_;
};

class Scheduler {
 public:
  Scheduler(const std::vector<SlideEntry>& slides, const JobContext& context, ResultTable* table,
            BatchProgress* progress)
      : slides_(slides),
        context_(context),
        table_(table),
        progress_(progress),
        said_locked_(slides.size(), false),
        results_(slides.size()) {
    threads_ = context.batch.threads > 0 ? context.batch.threads : core::AvailableCores();
    const int most = static_cast<int>(std::max<size_t>(1, slides.size()));
    jobs_ = std::clamp(context.batch.jobs > 0 ? context.batch.jobs : threads_, 1, most);
    for (size_t i = 0; i < slides.size(); ++i) waiting_.push_back(i);
  }

  // Rethrows what stopped the batch, after the slides in flight have ended.
  std::vector<SlideResult> Run() {
    {
      std::vector<std::jthread> helpers;
      for (int i = 1; i < jobs_; ++i) helpers.emplace_back([this] { Work(); });
      Work();
    }
    if (error_) std::rethrow_exception(error_);
    return std::move(results_);
  }

 private:
  void Work() {
    while (const auto index = Take()) {
      const int threads = TakeThreads();
      const bool made = RunOne(*index, threads);
      std::lock_guard lock(mutex_);
      threads_used_ -= threads;
      --running_;
      if (!made) locked_.push_back(*index);
    }
  }

  // The next slide; then those that another process has, again and again. Nothing: all done, or the
  // batch has to stop.
  std::optional<size_t> Take() {
    for (;;) {
      {
        std::lock_guard lock(mutex_);
        if (core::InterruptRequested() && !error_) {
          error_ = std::make_exception_ptr(
              core::InterruptedError("interrupted", "run the same command again to go on"));
        }
        if (error_) return std::nullopt;
        for (std::deque<size_t>* queue : {&waiting_, &locked_}) {
          if (queue->empty() || (queue == &locked_ && Clock::now() < retry_locked_)) continue;
          const size_t index = queue->front();
          queue->pop_front();
          if (queue == &locked_) retry_locked_ = Clock::now() + kPollLocked;
          ++running_;
          return index;
        }
        if (waiting_.empty() && locked_.empty()) return std::nullopt;
      }
      std::this_thread::sleep_for(kPollLocked / 4);
    }
  }

  // An even part of the idle threads among this slide and those that can start beside it.
  int TakeThreads() {
    std::lock_guard lock(mutex_);
    const int idle = threads_ - threads_used_;
    const int starting =
        1 + std::min(jobs_ - running_, static_cast<int>(waiting_.size() + locked_.size()));
    const int threads = std::max(1, (idle + starting - 1) / std::max(1, starting));
    threads_used_ += threads;
    return threads;
  }

  bool RunOne(size_t index, int threads) {
    const SlideEntry& slide = slides_[index];
    SlideResult result;
    result.slide = slide.slide;
    result.stem = slide.Stem();
    const Clock::time_point start = Clock::now();
    auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    try {
      if (!RunSlideJob(slide, threads, context_, &result)) {
        SayLocked(index, result.stem);
        return false;
      }
      if (result.status != "planned") result.seconds = elapsed();
      Record(index, std::move(result));
    } catch (const core::InterruptedError&) {
      Stop();  // no row: nothing became of the slide
    } catch (const core::Error& error) {
      const bool stops = error.code() != core::ExitCode::kBadInput;
      if (stops) Stop();
      Fail(error.what(), error.hint(), elapsed(), &result);
      Record(index, std::move(result));
    } catch (const std::bad_alloc&) {
      StopWith(std::make_exception_ptr(core::MachineError(
          "out of memory while tiling " + result.stem, "use fewer --jobs and --threads")));
    } catch (const fs::filesystem_error& error) {
      StopWith(std::make_exception_ptr(
          core::MachineError(error.what(), "check the path, the rights and the free space")));
    } catch (const std::exception& error) {  // a defect: of this slide, not of the others
      Fail(error.what(), "please report it, with the slide if you can", elapsed(), &result);
      Record(index, std::move(result));
    } catch (...) {
      Stop();
    }
    return true;
  }

  static void Fail(const std::string& reason, const std::string& hint, double seconds,
                   SlideResult* result) {
    result->status = "failed";
    result->reason = reason;
    result->hint = hint;
    result->seconds = seconds;
    result->bytes = result->tiles = result->bad = 0;
  }

  void Stop() { StopWith(std::current_exception()); }
  void StopWith(std::exception_ptr error) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
  }

  void SayLocked(size_t index, const std::string& stem) {
    std::lock_guard lock(mutex_);
    if (said_locked_[index]) return;
    said_locked_[index] = true;
    core::LogInfo(stem + " is being made by another process; it is looked at again at the end");
  }

  void Record(size_t index, SlideResult result) {
    std::lock_guard lock(record_mutex_);
    try {
      if (table_) table_->Add(slides_[index], result);
    } catch (...) {  // a table that cannot be written stops the batch
      Stop();
    }
    if (progress_) progress_->Finished(result);
    if (context_.batch.on_slide) context_.batch.on_slide(result);
    results_[index] = std::move(result);
  }

  const std::vector<SlideEntry>& slides_;
  const JobContext& context_;
  ResultTable* table_;
  BatchProgress* progress_;
  int threads_ = 1, jobs_ = 1;

  std::mutex mutex_;  // of what follows, but results_
  std::deque<size_t> waiting_, locked_;
  std::vector<bool> said_locked_;
  Clock::time_point retry_locked_{};
  int running_ = 0, threads_used_ = 0;
  std::exception_ptr error_;

  std::mutex record_mutex_;
  std::vector<SlideResult> results_;
};

}  // namespace

std::vector<SlideResult> TileSlides(const std::vector<SlideEntry>& slides,
                                    const TileOptions& options, const fs::path& out,
                                    const BatchOptions& batch) {
  options.Check();
  CheckMask(options, slides.size());
  const std::vector<std::string>& formats = ExportFormats();
  for (const std::string& format : batch.exports) {
    if (std::find(formats.begin(), formats.end(), format) == formats.end()) {
      throw core::ConfigError("export = " + format + " is not known",
                              fmt::format("one or more of {}", fmt::join(formats, ", ")));
    }
  }
  if (!batch.dry_run) core::MakeFolder(out);
  const int threads = batch.threads > 0 ? batch.threads : core::AvailableCores();
  const BatchClasses classes(slides, options.classes, out, !batch.dry_run, threads);
  const std::vector<SlideEntry> own = TakeShard(slides, batch.shard, batch.shards);

  MemoryBudget memory(batch.memory > 0 ? batch.memory : AvailableMemory() / 2);
  DiskBudget disk(out);
  std::optional<ResultTable> table;
  if (!batch.dry_run) table.emplace(out);
  std::optional<BatchProgress> progress;
  if (!batch.dry_run && !batch.quiet) progress.emplace(own);
  JobContext context{options, batch, classes, out, memory, disk, {}};
  if (progress) context.planned = [&](int64_t tiles) { return progress->Planned(tiles); };

  std::vector<SlideResult> results;
  try {
    Scheduler scheduler(own, context, table ? &*table : nullptr, progress ? &*progress : nullptr);
    results = scheduler.Run();
  } catch (...) {
    progress.reset();
    try {
      if (table) table->Write();
    } catch (const std::exception&) {  // a full disk may not take it
    }
    throw;
  }
  progress.reset();
  if (table) table->Finish();
  return results;
}

}  // namespace eosin::tiling
