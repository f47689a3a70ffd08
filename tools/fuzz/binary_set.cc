// SPDX-License-Identifier: Apache-2.0
// CIFAR-10 batches and STL-10 folds: what is accepted is whole and in range. The first byte says
// which of the two follows.
#include "engine/data/binary_sets.h"

#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  if (size == 0) return 0;
  const fuzz::MemoryFile file(data + 1, size - 1);
  fuzz::Refusable([&] {
    if (data[0] % 2 == 1) {
      const auto folds = engine::ReadStl10Folds(file.path());
      fuzz::Require(folds.size() == 10);
      for (const auto& fold : folds) {
        for (const int64_t index : fold) fuzz::Require(index >= 0 && index < 5000);
      }
      return;
    }
    const auto source = engine::OpenBinaryFiles({file.path()}, file.path().parent_path());
    fuzz::Require(static_cast<size_t>(source->size()) * 3073 == size - 1);
    for (int64_t i = 0; i < source->size(); ++i) {
      fuzz::Require(source->label(i) >= 0 && source->label(i) < 10);
      fuzz::Require(source->Read(i).pixels.size() == 3072);
    }
  });
  return 0;
}
