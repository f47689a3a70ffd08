// SPDX-License-Identifier: Apache-2.0
// What became of one slide: a row of tiles.csv and a section of the report.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tiling/extract/plan.h"

namespace eosin::tiling {

struct SlideResult {
  std::filesystem::path slide;
  std::string stem;    // name of the store
  std::string status;  // "done", "skipped" (already there), "planned" (dry run), "failed"
  std::string reason;  // of a failure, or a remark
  std::string hint;
  std::vector<std::string> warnings;  // of the slide's reader
  int64_t tiles = 0;
  int64_t bad = 0;                              // tiles whose pixels could not be read
  std::array<int64_t, kRejections> rejected{};  // by Rejection
  double tissue_share = -1;  // of the scanned area; 1 without a mask; -1 not known
  int64_t bytes = 0;         // of the store; predicted when planned
  double seconds = 0;        // predicted when planned
  double mpp = 0;            // um per level-0 pixel
  std::string mpp_source;
  double tile_mpp = 0;
  int tile_size = 0;
  int level = 0;
  std::string mode;    // "copy", "crop", "resample"
  std::string reader;  // Slide::reader()
  std::string plan;    // Describe(Plan)
};

}  // namespace eosin::tiling
