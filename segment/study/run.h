// SPDX-License-Identifier: Apache-2.0
// Runs the jobs of a study one after the other. A job is done when runs/<name>/result.json exists;
// a job that was cut starts again, so a study may be killed at any moment and continued.
// Torch-free: the trainer comes as a function.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "segment/data/mask_dataset.h"
#include "segment/study/plan.h"
#include "segment/train/result.h"

namespace eosin::segment {

namespace fs = std::filesystem;

// Trains one model and leaves its files in `folder`; see TrainSegmenter. Calls `hook` after each
// step.
using TrainFunction =
    std::function<SegmentResult(const SegmentOptions&, const MaskDataset&, const ImageSplit&,
                                const fs::path& folder, const StepHook& hook)>;

// The options of one job: the study's recipe with the arm's init, freeze and rate and the run seed.
// Equal seeds give equal label subset, head initialisation, order and augmentation in every arm.
SegmentOptions JobOptions(const StudyOptions& options, const Job& job);

// Hash of all that determines a job's result: recipe (without threads and workers), image names and
// contents of all parts, weights file content.
std::string JobFingerprint(const StudyOptions& options, const MaskDataset& data,
                           const StudyPlan& plan, const Job& job);

// Results in the order of plan.jobs. Throws ConfigError when a finished job was made with other
// settings or data, InterruptedError on SIGINT.
std::vector<SegmentResult> RunJobs(const StudyOptions& options, const MaskDataset& data,
                                   const StudyPlan& plan, const fs::path& folder,
                                   const TrainFunction& train);

}  // namespace eosin::segment
