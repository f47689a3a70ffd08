// SPDX-License-Identifier: Apache-2.0
// The way back from a store's `settings` (TileOptions::Settings) to the options that made it.
#pragma once

#include <string>

#include "tiling/options.h"

namespace eosin::tiling {

struct StoredSettings {
  TileOptions options;
  std::string mask_hash;        // SHA-256; empty without a mask file
  std::string annotation_hash;  // SHA-256; empty without annotations
  SlideFacts facts;
};

// options.tissue is "mask" where a mask file was used: its path is not kept. StoreError when the
// text is no JSON object, or has keys or values that TileOptions::Settings does not write.
StoredSettings FromSettings(const std::string& settings);

}  // namespace eosin::tiling
