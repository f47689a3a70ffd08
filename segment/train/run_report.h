// SPDX-License-Identifier: Apache-2.0
// report.html of one trained model: one offline page with the course of training, all scores, the
// confusion matrix and examples. Torch-free.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "segment/data/mask_dataset.h"
#include "segment/data/split.h"
#include "segment/options.h"
#include "segment/train/result.h"

namespace eosin::segment {

// What is frozen, in words: "nothing", "the backbone up to layer2", "the backbone until step 4 of
// 20, then nothing".
std::string DescribeFreezing(const SegmentOptions& options);

// folder: the run folder, with config.toml and predictions/ (the gallery shows the worst, the
// median and the best of the test images whose predictions were kept). notes: what a reader must
// know first, e.g. that the parts share patients.
void WriteRunReport(const SegmentOptions& options, const MaskDataset& data, const ImageSplit& split,
                    const SegmentResult& result, const std::vector<std::string>& notes,
                    const std::filesystem::path& folder);

}  // namespace eosin::segment
