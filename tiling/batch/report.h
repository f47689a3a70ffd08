// SPDX-License-Identifier: Apache-2.0
// <out>/report.html: one section a slide with its pictures, counts by reason, scores and warnings.
#pragma once

#include <filesystem>
#include <vector>

#include "tiling/batch/slide_result.h"

namespace eosin::tiling {

// Written from the results and the stores in `out`; stores that are not there are named as missing.
// Self-contained (pictures inside, at most 200 slides with pictures, then a table alone).
void WriteTilingReport(const std::vector<SlideResult>& results, const std::filesystem::path& out);

}  // namespace eosin::tiling
