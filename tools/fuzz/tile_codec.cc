// SPDX-License-Identifier: Apache-2.0
// Tiles that are not JPEG. Input: a byte for compression, prediction and samples, then the stream.
#include "tiling/slides/tile_codec.h"

#include "core/image/image.h"
#include "tiling/slides/tiff_directory.h"
#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  if (size < 1) return 0;
  constexpr uint16_t kCompressions[] = {tiling::kTiffNone, tiling::kTiffLzw, tiling::kTiffDeflate,
                                        tiling::kTiffOldDeflate};
  const std::span<const uint8_t> stream(data + 1, size - 1);
  tiling::TileFormat format;
  format.width = format.height = 16;
  format.compression = kCompressions[data[0] & 3];
  format.predictor = data[0] & 4 ? 2 : 1;
  format.samples = data[0] & 8 ? 1 : 3;
  tiling::TileCodec codec(format);
  core::Image tile(16, 16, 3);
  for (const int shrink : {1, 4}) {
    std::string error;
    if (!codec.Decode(stream, shrink, tile.row(0), static_cast<ptrdiff_t>(tile.stride()), &error))
      fuzz::Require(!error.empty());
  }
  std::vector<uint8_t> unpacked(size % 5000);
  tiling::UnpackLzw(stream, unpacked);
  return 0;
}
