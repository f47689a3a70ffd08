// SPDX-License-Identifier: Apache-2.0
// Names and numbers of the tile store's schema that its writer, reader and checker share.
#pragma once

#include <cstdint>

namespace eosin::core::schema {

inline constexpr const char* kFormat = "eosin-tiles";
inline constexpr int64_t kVersion = 1;
inline constexpr int64_t kBytesChunk = int64_t{1} << 20;  // of tiles/bytes
inline constexpr int64_t kCoordsChunk = 4096;             // rows
inline constexpr int64_t kMaxTileSize = 16384;
// XXH3-128 of a dataset's elements, little-endian; on the root: of all other attributes.
inline constexpr const char* kHash = "xxh3";
inline constexpr const char* kMakeAgain = "make it again with eosin tile --overwrite";

}  // namespace eosin::core::schema
