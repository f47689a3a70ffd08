// SPDX-License-Identifier: Apache-2.0
// report.html of a study: one offline page whose first screen answers "which init, by how much, how
// sure?". Torch-free.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/report/html.h"
#include "segment/data/mask_dataset.h"
#include "segment/study/analysis/analysis.h"
#include "segment/study/leaks/leaks.h"

namespace eosin::segment {

// What comes from other stages, all optional.
struct ReportExtras {
  std::vector<core::PictureBytes> tiles;                           // a sample of tiles
  std::vector<std::pair<std::string, core::PictureBytes>> slides;  // name, preview
  std::filesystem::path pretrain_run;                              // folder with metrics.csv
  std::vector<std::pair<std::string, std::string>> facts;          // shown in the header
  std::optional<LeakFacts> leaks;
};

// The whole page; of a study that is not complete too, and then it says so.
void WriteStudyReport(const StudyOptions& options, const MaskDataset& data, const StudyPlan& plan,
                      const Results& results, const Analysis& analysis, const ReportExtras& extras,
                      const std::filesystem::path& folder);

}  // namespace eosin::segment
