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
#include "segment/study/analysis.h"

namespace eosin::segment {

// What comes from other stages, all optional.
struct ReportExtras {
  std::vector<core::PictureBytes> tiles;                           // a sample of tiles
  std::vector<std::pair<std::string, core::PictureBytes>> slides;  // name, preview
  std::filesystem::path pretrain_run;                              // folder with metrics.csv
  std::vector<std::pair<std::string, std::string>> facts;          // shown in the header
};

void WriteStudyReport(const StudyOptions& options, const MaskDataset& data, const StudyPlan& plan,
                      const std::vector<SegmentResult>& results, const Analysis& analysis,
                      const ReportExtras& extras, const std::filesystem::path& folder);

}  // namespace eosin::segment
