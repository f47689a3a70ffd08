// SPDX-License-Identifier: Apache-2.0
// What comes before the first model of a study: folder, split, search for leaks, pretraining
// without validation and test patients, stand-in, plan. One process of a study at a time prepares;
// what is finished is found again.
#pragma once

#include <filesystem>
#include <memory>

#include "segment/data/mask_dataset.h"
#include "segment/study/plan/plan.h"
#include "segment/study/report/report.h"
#include "tools/study/setup.h"

namespace eosin::tools {

struct PreparedStudy {
  std::unique_ptr<segment::MaskDataset> data;
  segment::StudyPlan plan;
  segment::ReportExtras extras;
  double training_seconds = 0;  // of preparing: pretraining and stand-in
};

// Makes RUN or finds the study in it, and everything up to the plan; sets the weights that it made
// in setup->study. Throws what a user can cause: settings that changed, data that changed, leaks.
PreparedStudy PrepareStudy(StudySetup* setup, const std::filesystem::path& run, bool resume);

// Threads that each model of the study computes with, because a CPU's last bits depend on them:
// compute.threads, or where that is 0 the share that RUN/threads keeps from the study's first start
// (cores / study.jobs), for every process and every resumption alike.
int64_t ModelThreads(const StudySetup& setup, const std::filesystem::path& run);

// The same for a worker: only reads what PrepareStudy left.
PreparedStudy OpenPreparedStudy(StudySetup* setup, const std::filesystem::path& run);

}  // namespace eosin::tools
