// SPDX-License-Identifier: Apache-2.0
// What a TIFF slide says of itself, under the names OpenSlide uses.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tiling/slides/geometry.h"
#include "tiling/slides/tiff_directory.h"

namespace eosin::tiling {

// "aperio" or "generic-tiff"; empty, with the reason, when OpenSlide would not read the file as one
// of these.
std::string TiffVendor(const TiffFile& file, std::string* why_not);

// Which directories are levels, finest first; which are other pictures, by name.
std::vector<size_t> LevelDirectories(const TiffFile& file, const std::string& vendor);
std::vector<std::string> AssociatedNames(const TiffFile& file, const std::string& vendor);

// openslide.vendor, openslide.comment, openslide.level-count, openslide.level[i].*, tiff.*; for
// Aperio also aperio.*, openslide.mpp-x/y and openslide.objective-power.
std::map<std::string, std::string> TiffProperties(const TiffFile& file, const std::string& vendor,
                                                  const std::vector<SlideLevel>& levels);

}  // namespace eosin::tiling
