// SPDX-License-Identifier: Apache-2.0
// The encoders of one fold of a study: pretrained on the tiles of all patients but those of the
// fold's validation and test images.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "segment/data/mask_dataset.h"
#include "segment/data/split.h"
#include "segment/study/leaks/leaks.h"
#include "segment/study/report/report.h"
#include "tools/study/setup.h"

namespace eosin::tools {

// Below a fold's folder: runs of eosin pretrain, from random weights and from the imagenet arm's.
inline constexpr const char* kSslFolder = "ssl";
inline constexpr const char* kFromImageNetFolder = "ssl_from_imagenet";

// Compares the tiles that a fold's encoders are (or were) pretrained on with its held-out images,
// once; `folder` keeps what was found. Throws DataError when a tile has no patient, is a copy of a
// held-out image, none is left, or when they changed since pretraining began.
segment::LeakFacts CheckPretrainingTiles(const StudySetup& setup, const segment::MaskDataset& data,
                                         const segment::ImageSplit& split,
                                         const std::filesystem::path& folder);

// The same for an encoder that was made before, by its run's config.toml; nothing, and why, where
// that or its data are not there. path: of what was found.
std::optional<segment::LeakFacts> CheckGivenEncoder(
    const StudySetup& setup, const segment::MaskDataset& data, const segment::ImageSplit& split,
    const std::filesystem::path& encoder, const std::filesystem::path& path, std::string* why);

// Pretrains what setup asks for and `folder` does not hold yet; goes on where it was interrupted.
// imagenet: the weights that ssl_from_imagenet starts from. report: gets what it says of the
// pretraining; may be null. The tiles were checked before. Returns the seconds of training, now.
double PretrainFold(const StudySetup& setup, const segment::MaskDataset& data,
                    const segment::ImageSplit& split, const std::string& imagenet,
                    const std::filesystem::path& folder, segment::ReportExtras* report);

}  // namespace eosin::tools
