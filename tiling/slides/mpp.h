// SPDX-License-Identifier: Apache-2.0
// um per pixel from what a slide says of itself. Nothing is guessed: what contradicts itself is not
// believed, and the user is asked (--mpp-override).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tiling/slides/geometry.h"

namespace eosin::tiling {

// Properties under OpenSlide's names hold up to three statements, taken in this order:
//   1. openslide.mpp-x/y                       the vendor's word
//   2. tiff.XResolution, tiff.ResolutionUnit   inch or centimeter; without a unit it says nothing
//   3. openslide.objective-power               mpp = 10 / power, only when 1 and 2 say nothing;
//                                              always with a warning
// A single axis stands for both. Statements 1 and 2 are not believed when
//   - outside 0.05-20 um/px (TIFF writers leave 72 dpi = 353 um/px behind),
//   - the axes differ by over 10 %,
//   - mpp x objective power, about 10 on every scanner, is outside 4-25; near 1 or 100 it is called
//     what it is, a slip of ten between units (HEST issue 106: 0.0274 for 0.2738).
// If 1 and 2 are both left and differ by over 2x, neither is. If 1 fails and 2 stands, 2 is taken
// and a warning tells about 1. If nothing stands, mpp is unknown and `doubt` says why; the
// objective power steps in for a resolution coarser than 20 um/px (a printer's, no scanner's), for
// no other failed statement.
//
// warnings may be null.
SlideMpp FindMpp(const std::map<std::string, std::string>& properties,
                 std::vector<std::string>* warnings = nullptr);

// A finite decimal number, with a point or a comma ("0,2520"), of the whole text but for spaces
// around it.
std::optional<double> ParseNumber(std::string text);

// A property as such a number; 0 when absent or no number.
double PropertyNumber(const std::map<std::string, std::string>& properties, const std::string& key);

}  // namespace eosin::tiling
