// SPDX-License-Identifier: Apache-2.0
// libjpeg-turbo behind the tiles of one level: the shared tables are loaded once, the stored stream
// is decoded in place without merging, and the colour space is what the TIFF says. Accurate DCT and
// smooth chroma upsampling, as OpenSlide and libtiff use: equal pixels.
//
// Damage. Every warning of libjpeg's counts, which finds streams that run out of data, meet a
// marker within it or leave over many bytes at the end; libjpeg itself fills in grey or garbage and
// goes on. It does not notice up to seven bytes left over in its bit buffer, so those are looked up
// there, and it does not notice blocks of too many coefficients. What remains unseen is damage that
// decodes to exactly as many blocks from exactly as many bytes (tests/tiling/damage_test.cc counts
// them).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "tiling/slides/jpeg_stream.h"

namespace eosin::tiling {

class JpegDecoder {
 public:
  // `tables`: as ParseJpegTables leaves them.
  JpegDecoder(JpegTables tables, JpegColour colour, int width, int height);
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  // shrink 1, 2, 4, 8: scaled DCT. RGB rows `stride` bytes apart. False with the reason.
  bool Decode(std::span<const uint8_t> bytes, int shrink, uint8_t* rgb, ptrdiff_t stride,
              std::string* error);

  // Can this libjpeg be asked for bytes left over? Tried once on a made stream.
  static bool SeesLeftover();

 private:
  struct State;
  bool Prepare(std::string* error);

  const JpegTables tables_;
  const JpegColour colour_;
  const int width_, height_;
  std::unique_ptr<State> state_;
};

}  // namespace eosin::tiling
