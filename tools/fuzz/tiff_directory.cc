// SPDX-License-Identifier: Apache-2.0
// TIFF directories alone.
#include "tiling/slides/tiff_directory.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const tiling::MemorySource source({data, size});
  tiling::IsTiff(source);
  tiling::FirstDirectoryHasTag(source, 65420);
  fuzz::Refusable([&] {
    const tiling::TiffFile file = tiling::ReadTiff(source, "input");
    fuzz::Require(!file.directories.empty() &&
                  file.directories.size() <= tiling::kMaxTiffDirectories);
    for (const tiling::TiffDirectory& directory : file.directories) {
      if (!directory.problem.empty() || !directory.tiled()) continue;
      const auto tiles = static_cast<size_t>(directory.columns() * directory.rows());
      fuzz::Require(directory.tile_offsets.size() == tiles && directory.tile_bytes.size() == tiles);
    }
  });
  return 0;
}
