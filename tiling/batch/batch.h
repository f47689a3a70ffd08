// SPDX-License-Identifier: Apache-2.0
// Many slides to a folder of tile stores: <out>/<slide stem>.h5, <out>/<slide stem>.preview.jpg,
// <out>/tiles.csv with one row a slide, <out>/report.html, <out>/process_list_autogen.csv (CLAM's)
// and <out>/failed.csv: a slide list of what failed, to be given to --list again.
//
// A bad slide gets a row with its reason and does not stop the others. A complete store of the same
// slide and settings is not made again; one of other settings is an error unless overwriting is
// asked for. Several processes may work on one folder: each slide is locked while it is made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tiling/batch/slide_list.h"
#include "tiling/batch/slide_result.h"
#include "tiling/options.h"

namespace eosin::tiling {

struct BatchOptions {
  int threads = 0;     // over all slides; 0: all cores
  int jobs = 0;        // slides at a time; 0: as many as threads and memory allow
  int64_t memory = 0;  // bytes for pixels in flight, over all slides; 0: half of what is free
  int shard = 1;       // this process's share of the list: shard of shards
  int shards = 1;
  bool overwrite = false;  // replace stores made from another slide or with other settings
  bool dry_run = false;    // plan and predict only; writes nothing
  bool quiet = false;      // no progress
  std::vector<std::string> exports;  // ExportFormats()
  std::function<void(const SlideResult&)>
      on_slide;  // after each slide, one at a time; may be empty
};

// Rows in the order of `slides` (of this shard). Throws ConfigError, MachineError (no space, no
// permission: the batch stops) and InterruptedError, each after tiles.csv was brought up to date.
std::vector<SlideResult> TileSlides(const std::vector<SlideEntry>& slides,
                                    const TileOptions& options, const std::filesystem::path& out,
                                    const BatchOptions& batch);

}  // namespace eosin::tiling
