// SPDX-License-Identifier: Apache-2.0
// report.html of a pretraining run: its curves, examples of the views it saw, its settings.
#pragma once

#include <filesystem>

#include "engine/data/image_source.h"
#include "pretrain/options.h"

namespace eosin::pretrain {

// Reads metrics.csv and config.toml of the run and writes report.html beside them.
void WriteReport(const PretrainOptions& options, const engine::ImageSource& source,
                 const std::filesystem::path& run);

}  // namespace eosin::pretrain
