// SPDX-License-Identifier: Apache-2.0
// The tiles of many tile stores as one ImageSource. Opening reads each store's index once; files
// are reopened on demand and at most kMaxOpenStores stay open.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "engine/data/image_source.h"

namespace eosin::engine {

inline constexpr int kMaxOpenStores = 128;  // well below the usual limit of 1024 open files

// root: names are shown relative to it; when the stores lie in two or more of its direct
// subfolders, those are the classes. Else, when every store holds one same-named dataset of class
// ids, tiles are labelled by it (classes "0", "1", ...). StoreError on a damaged store.
std::unique_ptr<ImageSource> MakeStoreSource(std::vector<std::filesystem::path> stores,
                                             const std::filesystem::path& root);

// Labels by direct subfolder of root: fills classes (sorted) and a class a path. Both stay empty
// unless every path lies in one of at least two subfolders.
void LabelByFolder(const std::vector<std::filesystem::path>& paths,
                   const std::filesystem::path& root, std::vector<std::string>* classes,
                   std::vector<int64_t>* labels);

}  // namespace eosin::engine
