// SPDX-License-Identifier: Apache-2.0
// A stain template from a user's own tiles: which tiles to look at, their colours, the fit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/stain/color_stats.h"
#include "core/stain/stain_template.h"

namespace eosin::core {

struct TemplateFitOptions {
  std::vector<StainSpace> spaces = {StainSpace::kLab, StainSpace::kHsv, StainSpace::kHed};
  int components = 0;    // of the mixture; 0 none, -1 by the information criterion
  int64_t tiles = 5000;  // at most so many are measured
  uint64_t seed = 0;     // which tiles, and the start of the mixture
  int threads = 0;       // 0: all cores; changes no result
};

struct TemplateFit {
  StainTemplate fitted;
  int64_t groups = 0;       // patients or slides (pictures: groups of index.csv, or each its own)
  int64_t available = 0;    // tiles there were to choose from
  int64_t skipped = 0;      // tiles that did not decode
  bool from_store = false;  // LAB came from the stores' columns, not from pixels
};

// data: a folder of tile stores or of pictures, a .txt list of either (paths relative to it), or
// one file. A folder of pictures means what it means for training (index.csv; images/ without its
// masks/). Blank and bad tiles are left out. Every patient (a store's `patient`, else its slide;
// the column `group` of a picture folder's index.csv) gives equally many tiles, drawn by the seed,
// as far as it has them. LAB is taken from the stores where the tiler left it. Damaged tiles are
// skipped; DataError above 1 % of them, and when there are fewer than two tiles.
TemplateFit FitTemplate(const std::filesystem::path& data, const TemplateFitOptions& options);

// Shares of `wanted` among groups of these sizes, as equal as the sizes allow.
std::vector<int64_t> BalancedShares(const std::vector<int64_t>& sizes, int64_t wanted);

}  // namespace eosin::core
