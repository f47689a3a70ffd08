// SPDX-License-Identifier: Apache-2.0
// The encoders of one fold of a study: pretrained on the tiles of all patients but those of the
// fold's validation and test images.
#pragma once

#include <filesystem>
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

struct PretrainedFold {
  double seconds = 0;        // of training, now
  segment::LeakFacts leaks;  // of the comparison of tiles with held-out images
};

// Pretrains what setup asks for and `folder` does not hold yet; goes on where it was interrupted.
// imagenet: the weights that ssl_from_imagenet starts from. report: gets what it says of the
// pretraining; may be null. Throws DataError when a tile has no patient, is a copy of a held-out
// image, or none is left.
PretrainedFold PretrainFold(const StudySetup& setup, const segment::MaskDataset& data,
                            const segment::ImageSplit& split, const std::string& imagenet,
                            const std::filesystem::path& folder, segment::ReportExtras* report);

}  // namespace eosin::tools
