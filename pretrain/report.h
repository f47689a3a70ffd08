// SPDX-License-Identifier: Apache-2.0
// report.html of a pretraining run: its curves, what the monitor said, examples of the views it
// saw, its data and settings.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/data/image_source.h"
#include "pretrain/method.h"
#include "pretrain/monitor.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

// What the files of the run do not hold.
struct ReportFacts {
  std::vector<Finding> findings;
  int64_t bad_images = 0;
  Method::Contrast contrast;
};

// Reads metrics.csv and config.toml of the run and writes report.html beside them.
void WriteReport(const PretrainOptions& options, const engine::ImageSource& source,
                 const std::filesystem::path& run, const ReportFacts& facts);

}  // namespace eosin::pretrain
