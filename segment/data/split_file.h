// SPDX-License-Identifier: Apache-2.0
// split.json: who is in which part, with the hashes of all files, so that a study that goes on (or
// another one) can tell whether it still has the same images. Torch-free.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "segment/data/split.h"

namespace eosin::segment {

// The parts with patients, names and SHA-256 of image and mask.
std::string SplitToJson(const std::vector<MaskItem>& items,
                        const std::vector<MaskDataset::Hashes>& hashes, const ImageSplit& split,
                        const SplitOptions& options);

// The split of a file by image names. Throws DataError when it is no split, names an image that is
// not there or twice, gives another patient than the data, or leaves a part empty. Images of the
// data that it does not name are left out.
ImageSplit ReadSplit(const std::filesystem::path& path, const std::vector<MaskItem>& items);

// Throws DataError naming the first image whose file is no longer the one that the split was
// written with.
void VerifySplit(const std::filesystem::path& path, const std::vector<MaskItem>& items,
                 const std::vector<MaskDataset::Hashes>& hashes);

}  // namespace eosin::segment
