// SPDX-License-Identifier: Apache-2.0
// The part of verification that needs the slide.
#pragma once

#include "core/store/tile_store.h"
#include "tiling/batch/verify.h"
#include "tiling/settings.h"

namespace eosin::tiling {

// Adds to `report`.
void VerifyAgainstSlide(const core::TileStoreReader& store, const StoredSettings& settings,
                        const VerifyOptions& options, int threads, VerifyReport* report);

}  // namespace eosin::tiling
