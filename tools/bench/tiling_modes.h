// SPDX-License-Identifier: Apache-2.0
// The sides of the tiling benchmark. Each opens the slide inside the clock and prints its line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/image/codec.h"
#include "tools/bench/tiling_case.h"

namespace eosin::bench {

// Slides to measure on, from the pixels of a real one.
struct MadeSlide {
  std::filesystem::path source, out;
  int64_t size = 30000;  // px a side
  int tile = 256;
  int quality = 75;
  core::Subsampling subsampling = core::Subsampling::k420;
  double mpp = 0.499;
  int64_t tissue_tiles = 4000;  // sparse slides
  uint64_t seed = 1;
};
// A mosaic of randomly turned crops: 48 % tissue in two compact pieces, levels 1, 4, 16 as Aperio
// writes them (JPEG tiles without tables + JPEGTables, thumbnail in strips). Beside it .json (the
// regions) and .mask.png (the tissue).
void MakeDenseSlide(const MadeSlide& slide);
// Three small discs of tissue on a large slide whose background tiles share one stored stream.
void MakeSparseSlide(const MadeSlide& slide);

// What libjpeg-turbo alone can do, tiles straight from the file. `work`:
//   copy     each covered tile's compressed bytes are read and appended to one file
//   decode   each covered tile is read and decoded once
//   patches  and each patch's pixels are copied once to memory of its own
int RunLimit(const Case& asked, const std::string& work, const std::filesystem::path& folder);

// OpenSlide, patch by patch. `work`: read (RGB in memory) or h5 (appended one by one to an HDF5
// file as CLAM's create_patches.py did: open, resize, write, close for each).
int RunOpenSlide(const Case& asked, const std::string& work, const std::filesystem::path& folder);

// eosin in this process. `work`:
//   read    pixels in memory, each covered tile decoded once
//   own     to the closed store and all that `eosin tile` writes beside it (JPEG; copied tiles in
//           cases a and w), no scores, tissue given
//   scored  own with quality and stain columns
int RunEosin(const Case& asked, const std::string& work, int threads,
             const std::filesystem::path& folder);

// Bytes of a pass-through store against those of the slide's stored tiles: prints a JSON line.
int PrintStoreBytes(const std::filesystem::path& slide, const std::filesystem::path& store);

}  // namespace eosin::bench
