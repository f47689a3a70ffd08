// SPDX-License-Identifier: Apache-2.0
// The hashes in a tile store. Each dataset has the attribute `xxh3`, the XXH3-128 of its elements
// (little-endian, row-major). The root's `xxh3` is over every attribute in the file but itself and
// `complete`, those of groups and datasets and so their hashes included: it stands for the whole
// store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/store/hdf5.h"

namespace eosin::core {

// What the root's `xxh3` is, or should be.
std::string AttributesHash(const hdf5::Group& root);

struct HashCheck {
  int64_t datasets = 0;  // with a hash
  int64_t bytes = 0;     // read
  std::vector<std::string> problems;
};

// Reads everything. StoreError only when the file cannot be opened as HDF5.
HashCheck CheckHashes(const std::filesystem::path& store);

}  // namespace eosin::core
