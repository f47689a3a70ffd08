// SPDX-License-Identifier: Apache-2.0
// A whole slide by our TIFF reader: directories, then stored tiles and their self-contained JPEGs.
#include "tiling/slides/slide.h"

#include <algorithm>

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const fuzz::MemoryFile file(data, size);
  fuzz::Refusable([&] {
    const auto slide = tiling::Slide::Open(file.path(), tiling::SlideReader::kTiff);
    const auto decoder = slide->NewDecoder();
    const int levels = std::min(4, static_cast<int>(slide->levels().size()));
    for (int level = 0; level < levels; ++level) {
      const tiling::SlideLevel& l = slide->level(level);
      fuzz::Require(l.width > 0 && l.height > 0 && l.tile_width > 0 && l.tile_height > 0);
      if (int64_t{l.tile_width} * l.tile_height > 1 << 20) continue;  // slow, no more
      core::Image tile(l.tile_width, l.tile_height, 3);
      const int64_t count = l.tile_count();
      for (const int64_t index : {int64_t{0}, count / 2, count - 1}) {
        slide->StoredBytes(level, index);
        std::string error;
        for (const int shrink : {1, 2}) {
          if (l.tile_width % shrink != 0 || l.tile_height % shrink != 0) continue;
          if (!decoder->Decode(level, index, shrink, tile.row(0),
                               static_cast<ptrdiff_t>(tile.stride()), &error)) {
            fuzz::Require(!error.empty());
          }
        }
        core::Bytes jpeg;
        if (slide->StoresJpeg(level) && slide->AppendJpeg(level, index, &jpeg, &error)) {
          fuzz::Require(core::IsJpeg(jpeg));
        }
      }
    }
    for (const std::string& name : slide->associated_names()) {
      fuzz::Refusable([&] { slide->ReadAssociated(name); });
    }
  });
  return 0;
}
