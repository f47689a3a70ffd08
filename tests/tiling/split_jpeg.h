// SPDX-License-Identifier: Apache-2.0
// A JPEG taken apart as TIFF stores it: tables for the JPEGTables tag, and the rest.
#pragma once

#include "core/image/codec.h"

namespace eosin::testing {

struct SplitJpeg {
  core::Bytes tables{0xFF, 0xD8}, tile{0xFF, 0xD8};
};

inline SplitJpeg Split(const core::Bytes& jpeg, bool keep_jfif) {
  SplitJpeg split;
  const auto at = [&](size_t p) { return jpeg.begin() + static_cast<ptrdiff_t>(p); };
  size_t p = 2;
  while (jpeg[p + 1] != 0xDA) {
    const size_t end = p + 2 + static_cast<size_t>(jpeg[p + 2] << 8 | jpeg[p + 3]);
    const bool table = jpeg[p + 1] == 0xDB || jpeg[p + 1] == 0xC4;
    core::Bytes& to = table ? split.tables : split.tile;
    if (jpeg[p + 1] != 0xE0 || keep_jfif) to.insert(to.end(), at(p), at(end));
    p = end;
  }
  split.tile.insert(split.tile.end(), at(p), jpeg.end());
  split.tables.insert(split.tables.end(), {0xFF, 0xD9});
  return split;
}

}  // namespace eosin::testing
