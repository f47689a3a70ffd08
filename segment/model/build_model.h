// SPDX-License-Identifier: Apache-2.0
// The network of a segmentation run at its start: initialised by the run seed, then the backbone
// (or more, options.init_part) from a weights file, if one is named. What does not come from the
// file depends on the seed alone: the same in every arm.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "engine/training/input.h"
#include "segment/model/deeplab.h"
#include "segment/options.h"

namespace eosin::segment {

struct BuiltModel {
  SegmentationNet net{nullptr};         // on the CPU
  engine::Normalization normalization;  // options.normalization; auto: the file's, else ImageNet's
  double matched = 0;  // share of options.init_part's parameters that came from the file, 0..1
};

DeepLabOptions NetOptions(const SegmentOptions& options);

// What a weights file says of the network in it, so that it can be built again without its run:
// eosin.head, arch, stem, width, output_stride, rates, head_channels, separable, classes, crop,
// mpp. The input's normalisation is engine::AddToMetadata's.
std::map<std::string, std::string> NetMetadata(const SegmentOptions& options);

// kIgnore: the weights come from a checkpoint next, so that the file may be gone by now.
enum class InitFile : uint8_t { kRead, kIgnore };

// Writes the table of what matched to the log. Throws WeightsError when options.init is missing,
// is not the file that its name says (engine::CheckHashInName), or does not fit in full: nothing is
// loaded in part but what options.init_part says. A net (body, all) under other dilations or
// another output stride than its file's, or than its published one's where the file does not say,
// is warned about; ConfigError for all of a file that says them.
BuiltModel BuildModel(const SegmentOptions& options, InitFile init = InitFile::kRead);

}  // namespace eosin::segment
