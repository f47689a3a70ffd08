// SPDX-License-Identifier: Apache-2.0
// <out>/report.html: what failed and why, a summary, a table of all slides, and a section a slide
// with its pictures, counts by reason, scores, settings and warnings.
#pragma once

#include <filesystem>
#include <vector>

#include "tiling/batch/slide_result.h"

namespace eosin::tiling {

inline constexpr int kReportPictures = 200;  // slides with a section; the table has all

// Written from the results and the stores in `out`, atomically; a store that is not there or cannot
// be read is named so in its section. Self-contained: pictures inside. MachineError.
void WriteTilingReport(const std::vector<SlideResult>& results, const std::filesystem::path& out);

}  // namespace eosin::tiling
