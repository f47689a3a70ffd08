// SPDX-License-Identifier: Apache-2.0
// One thread's means of turning a slide's stored tiles into pixels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace eosin::tiling {

class TileDecoder {
 public:
  virtual ~TileDecoder() = default;

  // Decodes tile `index` of `level` as RGB into rows `stride` bytes apart. The whole stored tile is
  // written, tile_width / shrink x tile_height / shrink pixels, its part beyond the level's edge
  // included. shrink: 1, 2, 4 or 8, by scaled DCT where the tile is a JPEG and by means elsewhere;
  // tile sides must be multiples of it. Scaled DCT against means of the full decode, grey levels on
  // real slides (4:4:4 and 4:2:0): 99 % within 3, worst 19 at 2, 11 at 4, 4 at 8.
  // False, with the reason in *error (may be null) and unspecified pixels, when the tile is absent,
  // cannot be decoded or is damaged: a decoder's warning counts as damage. Never throws for what is
  // in the slide, and a bad tile costs nothing but itself.
  virtual bool Decode(int level, int64_t index, int shrink, uint8_t* rgb, ptrdiff_t stride,
                      std::string* error) = 0;
};

}  // namespace eosin::tiling
