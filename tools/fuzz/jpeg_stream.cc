// SPDX-License-Identifier: Apache-2.0
// JPEG tiles: headers, shared tables, and streams made to stand alone. Where both ways to the
// pixels work, decoding in place and decoding the stream made to stand alone, they give the same.
// Input: a byte for the colour, two for the length of the tables, the tables, the stream.
#include "tiling/slides/jpeg_stream.h"

#include <algorithm>

#include "tiling/slides/jpeg_decoder.h"
#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  if (size < 3) return 0;
  const auto colour = static_cast<tiling::JpegColour>(data[0] % 3);
  const size_t length = std::min<size_t>(size - 3, data[1] | data[2] << 8);
  const std::span<const uint8_t> shared(data + 3, length),
      stream(data + 3 + length, size - 3 - length);
  std::string error;
  tiling::JpegTables tables;
  tiling::JpegHeader header;
  if (!tiling::ParseJpegTables(shared, &tables, &error)) {
    fuzz::Require(!error.empty());
    return 0;
  }
  if (!tiling::ParseJpegHeader(stream, &header, &error)) {
    fuzz::Require(!error.empty());
    return 0;
  }
  fuzz::Require(header.scan <= stream.size());
  tiling::TablesPresent(header, tables, &error);
  size_t end = 0;
  if (header.sequential() && tiling::CheckScan(stream, header, &end, &error))
    fuzz::Require(end <= stream.size());
  if (int64_t{header.width} * header.height > 1 << 16) return 0;  // slow, no more

  const tiling::JpegWrapper wrapper(tables, colour, header.width, header.height);
  core::Bytes whole = {1, 2, 3};
  whole.resize(3 + wrapper.room());
  whole.insert(whole.end(), stream.begin(), stream.end());
  const bool wrapped = wrapper.Wrap(&whole, 3, &error);
  fuzz::Require(wrapped || whole.size() == 3);
  core::Image tile(header.width, header.height, 3);
  tiling::JpegDecoder decoder(tables, colour, header.width, header.height);
  const auto stride = static_cast<ptrdiff_t>(tile.stride());
  const bool decoded = decoder.Decode(stream, 1, tile.row(0), stride, &error);
  if (wrapped) {
    const std::span<const uint8_t> alone = std::span<const uint8_t>(whole).subspan(3);
    tiling::JpegHeader again;
    fuzz::Require(tiling::ParseJpegHeader(alone, &again, &error));
    fuzz::Require(again.width == header.width && again.height == header.height);
    fuzz::Refusable([&] {
      const core::Image image = core::DecodeRgb(alone, "input");
      fuzz::Require(!decoded || image.pixels == tile.pixels);
    });
  }
  for (const int shrink : {2, 8}) {
    if (header.width % shrink == 0 && header.height % shrink == 0)
      decoder.Decode(stream, shrink, tile.row(0), stride, &error);
  }
  return 0;
}
