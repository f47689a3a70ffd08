// SPDX-License-Identifier: Apache-2.0
#include "segment/study/run/run.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"
#include "segment/train/train_state.h"

namespace eosin::segment {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPoll = std::chrono::milliseconds(200);

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Time until the first step began: until its end, less what a step usually takes.
double BeforeFirst(const std::vector<double>& step_ends) {
  if (step_ends.empty()) return 0;
  std::vector<double> steps;
  for (size_t i = 1; i < step_ends.size(); ++i) steps.push_back(step_ends[i] - step_ends[i - 1]);
  if (steps.empty()) return 0;
  std::nth_element(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2),
                   steps.end());
  return std::max(0.0, step_ends.front() - steps[steps.size() / 2]);
}

JobTimes RunOne(JobBoard& board, const StudyPlan& plan, const MaskDataset& data,
                const TrainFunction& train, size_t index, const StepHook& hook) {
  const auto start = Clock::now();
  const Job& job = plan.jobs[index];
  const fs::path folder = board.FolderOf(job);
  // What a killed run left is continued from its checkpoint.
  if (!HasTrainState(folder)) fs::remove_all(folder);
  core::MakeFolder(folder);
  std::vector<double> step_ends;
  const auto training = Clock::now();
  SegmentResult result =
      train(board.OptionsOf(job), data, board.SplitOf(job), folder, [&](int64_t step, double loss) {
        step_ends.push_back(Since(training));
        hook(step, loss);
      });
  const double trained = Since(training);
  JobTimes times;
  times.before_first = BeforeFirst(step_ends);
  const nlohmann::ordered_json root = {
      {"seconds", trained},
      {"until_first_step", times.before_first},
      {"steps_and_validation", step_ends.empty() ? 0 : step_ends.back() - times.before_first}};
  core::WriteFileAtomic(folder / "times.json", root.dump(1) + "\n");
  board.Finish(index, std::move(result));
  RemoveCheckpoint(folder);
  times.seconds = Since(start);
  times.bookkeeping = times.seconds - trained;
  return times;
}

}  // namespace

std::vector<JobTimes> RunJobs(JobBoard& board, const StudyPlan& plan, const MaskDataset& data,
                              const TrainFunction& train, const RunHooks& hooks) {
  std::vector<JobTimes> all;
  int64_t steps = 0, steps_done = 0;
  board.Refresh();
  for (size_t i = 0; i < plan.jobs.size(); ++i) {
    steps += plan.jobs[i].steps;
    if (board.results()[i]) steps_done += plan.jobs[i].steps;
  }
  std::unique_ptr<core::Progress> progress;
  if (!hooks.quiet) {
    progress = std::make_unique<core::Progress>("study", steps, "steps", steps_done);
  }
  size_t seen = board.done_count();
  while (true) {
    core::ThrowIfInterrupted();
    board.Refresh();
    if (board.done_count() != seen) {
      seen = board.done_count();
      if (hooks.on_change) hooks.on_change(board);
    }
    if (board.complete()) break;
    auto taken = board.Take();
    if (!taken) {
      if (progress) progress->SetNote("waiting for jobs of other processes");
      std::this_thread::sleep_for(kPoll);
      continue;
    }
    if (progress) {
      progress->SetNote(fmt::format("{} ({} of {} models)", plan.jobs[taken->index].name,
                                    board.done_count() + 1, board.size()));
    }
    all.push_back(RunOne(board, plan, data, train, taken->index, [&](int64_t, double) {
      if (progress) progress->Advance();
    }));
  }
  return all;
}

}  // namespace eosin::segment
