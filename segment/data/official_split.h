// SPDX-License-Identifier: Apache-2.0
// The split that a data set was published with, for figures beside other people's. Not how a study
// should be split: GlaS' own parts, for one, share patients, so that its test scores are those of
// patients who were trained on. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "segment/data/split.h"

namespace eosin::segment {

struct OfficialSplit {
  ImageSplit split;
  std::vector<std::string> shared;  // patients with images in test and in train or val
};

// By MaskItem::part. Where no part is called val, options.val (a share of the patients of train,
// at least one, by options.seed as in SplitByPatient) is taken from train. Throws DataError when an
// image has no part, or train or test have none.
OfficialSplit SplitAsPublished(const std::vector<MaskItem>& items, const SplitOptions& options);

}  // namespace eosin::segment
