// SPDX-License-Identifier: Apache-2.0
// Class maps, and annotations to masks. The input's first line is a class map, the rest a file of
// annotations.
#include "tiling/annotations/label_map.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const std::string_view text = fuzz::Text(data, size);
  const size_t end = text.find('\n');
  if (end == text.npos) return 0;
  fuzz::Refusable([&] {
    const auto classes = tiling::ClassMap::Parse(std::string(text.substr(0, end)));
    fuzz::Refusable([&] {
      const auto again = tiling::ClassMap::Parse(classes.ToString());
      fuzz::Require(again.entries.size() == classes.entries.size());
    });
    const auto file = tiling::ParseAnnotations(text.substr(end + 1), "input");
    const tiling::LabelMap labels(file.annotations, classes);
    for (const double downsample : {1.0, 37.5}) {
      const core::Image mask = labels.Draw(-8, 16, 32, downsample);
      fuzz::Require(mask.width == 32 && mask.height == 32 && mask.channels == 1);
    }
    labels.Allows(0, 0, 64);
    labels.Allows(-100, 50, 1'000'000);
  });
  return 0;
}
