// SPDX-License-Identifier: Apache-2.0
// What made slides have in common: source pixels, Aperio's directories, the sidecar.
#pragma once

#include <filesystem>
#include <vector>

#include "core/image/image.h"
#include "tools/bench/tiling_modes.h"
#include "tools/bench/tiling_tiff.h"

namespace eosin::bench {

inline constexpr int kShrink = 4;  // from level to level

// Level 0 of a small slide; at least `least` pixels a side. DataError.
core::Image ReadSource(const std::filesystem::path& path, int least);

// A level of side x side pixels; the whole slide's is level 0 and carries the scale.
TiffLevel NewLevel(const MadeSlide& made, int64_t side);
void AddTile(TiffWriter& writer, const SplitJpeg& jpeg, TiffLevel* level);
// Directory 1 of an Aperio file; it must be in strips.
TiffLevel WriteThumbnail(TiffWriter& writer, const MadeSlide& made, const core::Image& picture);

// <out>.json: what the benchmarks read.
void WriteSidecar(const MadeSlide& made, const std::vector<TiffLevel>& levels);

}  // namespace eosin::bench
