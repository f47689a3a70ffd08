// SPDX-License-Identifier: Apache-2.0
// JPEG and PNG pictures and PNG masks.
#include "core/image/codec.h"
#include "tools/fuzz/fuzz.h"

using namespace eosin;

EOSIN_FUZZ_TARGET(data, size) {
  const std::span<const uint8_t> bytes(data, size);
  int width = 0, height = 0;
  fuzz::Refusable([&] { core::ImageSize(bytes, "input", &width, &height); });
  // The codec takes up to 2^28 pixels by design; here that would only be slow.
  if (int64_t{width} * height > int64_t{1} << 20) return 0;
  fuzz::Refusable([&] {
    const core::Image image = core::DecodeRgb(bytes, "input");
    fuzz::Require(image.width == width && image.height == height && image.channels == 3);
  });
  fuzz::Refusable([&] {
    const core::Image mask = core::DecodeMask(bytes, "input");
    fuzz::Require(mask.width == width && mask.height == height && mask.channels == 1);
  });
  return 0;
}
