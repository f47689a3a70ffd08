// SPDX-License-Identifier: Apache-2.0
// Several sets as one, mixed by weight: an epoch has as many samples as the sets have images
// together, and each set gives its share of them whatever its size (EpochOrder in epoch_order.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/data/image_source.h"

namespace eosin::engine {

struct MixPart {
  double weight = 1;  // > 0; shares are in proportion
  std::string name;   // put before its images' names, unless empty
  std::unique_ptr<ImageSource> source;
};

// Images of the first set, then of the second, and so on. classes(): those of the first set, then
// the new ones of the others by name; labels follow. Groups of the same name are one group, so a
// patient in two sets stays whole. Slides of place() stay apart. ConfigError on a weight that is
// not positive.
std::unique_ptr<ImageSource> MixSources(std::vector<MixPart> parts);

// The key data.mix: "weight:path" each, such as "2:tiles/lung", paths as OpenImageSource takes
// them. One entry is that set alone. ConfigError on an entry that is not so.
std::unique_ptr<ImageSource> OpenMix(const std::vector<std::string>& entries);

}  // namespace eosin::engine
