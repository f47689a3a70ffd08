// SPDX-License-Identifier: Apache-2.0
// Many slides to a folder of tile stores: <out>/<slide stem>.h5, <out>/<slide stem>.preview.jpg and
// <out>/tiles.csv with one row a slide. A bad slide gets a row with its reason and does not stop
// the others. A complete store of the same slide and settings is not made again; one of other
// settings is an error unless overwriting is asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tiling/options.h"

namespace eosin::tiling {

struct SlideResult {
  std::filesystem::path slide;
  std::string stem;    // name of the store
  std::string status;  // "done", "skipped" (already there), "planned" (dry run), "failed"
  std::string reason;  // of a failure, or a remark
  std::string hint;
  int64_t tiles = 0;
  int64_t bad = 0;           // tiles whose pixels could not be read
  double tissue_share = -1;  // of the scanned area; 1 without a mask; -1 not known
  int64_t bytes = 0;         // of the store; predicted when planned
  double seconds = 0;
  double mpp = 0;  // um per level-0 pixel
  std::string mpp_source;
  double tile_mpp = 0;
  int level = 0;
  bool exact = false;  // no resampling
  std::string plan;    // Describe(Plan) when planned
};

struct BatchOptions {
  int threads = 0;           // decoders; 0: all cores
  bool overwrite = false;    // replace stores made from another slide or with other settings
  bool dry_run = false;      // plan only; writes nothing
  bool quiet = false;        // no progress
  bool export_clam = false;  // also <out>/clam/<stem>.h5: coordinates for CLAM at level 0
  std::function<void(const SlideResult&)> on_slide;  // called after each slide; may be empty
};

// Slide files named by files and folders (searched through), sorted, each once. DataError: a path
// that is missing, a folder without slides, two slides with one stem.
std::vector<std::filesystem::path> FindSlides(const std::vector<std::filesystem::path>& paths);

// Rows in the order of `slides`. Throws ConfigError, MachineError (no space, no permission: the
// batch stops) and InterruptedError, each after tiles.csv was brought up to date.
std::vector<SlideResult> TileSlides(const std::vector<std::filesystem::path>& slides,
                                    const TileOptions& options, const std::filesystem::path& out,
                                    const BatchOptions& batch);

}  // namespace eosin::tiling
