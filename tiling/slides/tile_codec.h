// SPDX-License-Identifier: Apache-2.0
// One stored TIFF tile to RGB: JPEG (jpeg_decoder.h), deflate, LZW or none, with or without
// horizontal prediction; 8 bits, RGB or grey. For one thread and one level; buffers are kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tiling/slides/jpeg_decoder.h"

namespace eosin::tiling {

struct TileFormat {
  int width = 0, height = 0;
  uint16_t compression = 1, predictor = 1;  // TiffCompression
  int samples = 3;                          // 3 RGB, 1 grey
  JpegColour colour = JpegColour::kRgb;     // of JPEG
  JpegTables tables;                        // of JPEG
};

class TileCodec {
 public:
  explicit TileCodec(TileFormat format);
  ~TileCodec();

  // As TileDecoder::Decode.
  bool Decode(std::span<const uint8_t> bytes, int shrink, uint8_t* rgb, ptrdiff_t stride,
              std::string* error);

 private:
  bool Unpack(std::span<const uint8_t> bytes, std::string* error);

  const TileFormat format_;
  std::unique_ptr<JpegDecoder> jpeg_;
  struct Inflater;
  std::unique_ptr<Inflater> inflater_;
  std::vector<uint8_t> samples_;  // unpacked
};

// TIFF's LZW (most significant bit first, codes of 9-12 bits, early change): fills `out` exactly.
// False when the stream is damaged, or ends before. Data after that is not looked at.
bool UnpackLzw(std::span<const uint8_t> bytes, std::span<uint8_t> out);

}  // namespace eosin::tiling
