// SPDX-License-Identifier: Apache-2.0
// Which slides and pictures to predict.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tiling/batch/slide_list.h"

namespace eosin::segment {

// Slides and pictures named by files, folders and CSV lists (ReadSlideList). Folders are searched
// through, of a folder with images/ and masks/ only its images/ (core::PictureRoot). Left out are
// what eosin predict wrote there, and all below `out` where it lies inside of the folder.
// DataError: a path that is missing, a folder or list without slides, two that would have the same
// outputs.
std::vector<tiling::SlideEntry> FindSlidesAndPictures(const std::vector<std::string>& paths,
                                                      const std::filesystem::path& out = {});

}  // namespace eosin::segment
