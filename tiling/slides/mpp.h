// SPDX-License-Identifier: Apache-2.0
// um per pixel from what a slide says of itself.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tiling/slides/geometry.h"

namespace eosin::tiling {

// From properties under OpenSlide's names: openslide.mpp-x/y, else a TIFF resolution with any unit
// (tiff.XResolution, tiff.ResolutionUnit), else the objective power (mpp = 10 / power), which adds a
// warning. Values that no slide has (outside 0.05-20 um/px; writers leave 72 dpi = 353 um/px behind),
// axes that differ by over 10 %, and a scale that contradicts the objective power by a factor of
// about ten (a unit slip) or any other contradiction over 2x are not believed and named in `doubt`.
SlideMpp FindMpp(const std::map<std::string, std::string>& properties,
                 std::vector<std::string>* warnings);

}  // namespace eosin::tiling
