// SPDX-License-Identifier: Apache-2.0
// One slide of a batch, from opening it to its store, picture and exports.
#pragma once

#include <filesystem>
#include <functional>

#include "core/base/progress.h"
#include "tiling/batch/batch.h"
#include "tiling/batch/budget.h"
#include "tiling/batch/labels.h"

namespace eosin::tiling {

// What the jobs of a batch share. All of it outlives them.
struct JobContext {
  const TileOptions& options;
  const BatchOptions& batch;
  const BatchClasses& classes;
  std::filesystem::path out;
  MemoryBudget& memory;
  DiskBudget& disk;
  // Called with the number of planned tiles; what it returns is advanced by them. May be empty.
  std::function<core::Progress*(int64_t tiles)> planned;
};

// Where a mask for this slide is, with options.UsesMaskFile().
std::filesystem::path MaskPath(const TileOptions& options, const std::string& stem);

// Fills `result`; false, with nothing done, when another process is making this slide. Throws
// core::Error: kBadInput costs this slide, anything else the batch.
bool RunSlideJob(const SlideEntry& slide, int threads, const JobContext& context,
                 SlideResult* result);

}  // namespace eosin::tiling
