// SPDX-License-Identifier: Apache-2.0
// Names of slide files, also for builds without slides. DICOM's .dcm is not among them: a slide is
// many such files, of which any opens all.
#pragma once

#include <string>
#include <vector>

namespace eosin::tiling {

// Slide files by extension, for folders.
inline const std::vector<std::string>& SlideExtensions() {
  static const std::vector<std::string> kExtensions = {".svs",  ".tif",     ".tiff", ".ndpi",
                                                       ".mrxs", ".scn",     ".vms",  ".vmu",
                                                       ".bif",  ".svslide", ".czi"};
  return kExtensions;
}

}  // namespace eosin::tiling
