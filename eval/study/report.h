// SPDX-License-Identifier: Apache-2.0
// results.csv and report.html of an evaluation.
#pragma once

#include <filesystem>
#include <string>

#include "eval/study/run.h"

namespace eosin::eval {

// Columns encoder, measure, value, low, high, unit, n, n_of, note. Differences have the encoder
// "a - b". low and high are empty where there is no interval.
std::string ResultsCsv(const EvalResult& result);

void WriteEvalReport(const EvalResult& result, const std::string& config_toml,
                     const std::filesystem::path& path);

}  // namespace eosin::eval
