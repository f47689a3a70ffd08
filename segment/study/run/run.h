// SPDX-License-Identifier: Apache-2.0
// Runs the jobs of a study one after the other, beside any number of other processes that do the
// same on the same folder. A job that was cut goes on from its checkpoint, so a study may be
// killed at any moment and continued. Torch-free: the trainer comes as a function.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "segment/study/run/job_board.h"

namespace eosin::segment {

namespace fs = std::filesystem;

// Trains one model and leaves its files in `folder`; see TrainSegmenter. Calls `hook` after each
// step.
using TrainFunction =
    std::function<SegmentResult(const SegmentOptions&, const MaskDataset&, const ImageSplit&,
                                const fs::path& folder, const StepHook& hook)>;

// Where the time of a finished job went; runs/<name>/times.json. Not part of any result.
struct JobTimes {
  double seconds = 0;       // all of it
  double before_first = 0;  // building the network, reading weights, until the first step began
  double bookkeeping = 0;   // locks, fingerprint, result.json
};

struct RunHooks {
  // After each job that became done, here or in another process; for live reports.
  std::function<void(const JobBoard&)> on_change;
  bool quiet = false;  // no progress line
};

// Works until every job is done, also by waiting for jobs that other processes have taken. Returns
// the time spent on each job that ran here. Throws InterruptedError on SIGINT.
std::vector<JobTimes> RunJobs(JobBoard& board, const StudyPlan& plan, const MaskDataset& data,
                              const TrainFunction& train, const RunHooks& hooks = {});

}  // namespace eosin::segment
