// SPDX-License-Identifier: Apache-2.0
// Slide lists: CSV with scales, annotations, classes and patients.
#include "tiling/batch/slide_list.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const fuzz::MemoryFile file(data, size);
  fuzz::Refusable([&] {
    const auto entries = tiling::ReadSlideList(file.path(), {});
    const int shards = static_cast<int>(size % 7) + 1;
    size_t together = 0;
    for (int i = 1; i <= shards; ++i) together += tiling::TakeShard(entries, i, shards).size();
    fuzz::Require(together == entries.size());
  });
  return 0;
}
