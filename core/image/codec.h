// SPDX-License-Identifier: Apache-2.0
// JPEG (TurboJPEG) and PNG (libspng), from and to memory. Functions are thread-safe and throw
// DataError on bytes that do not decode; messages name `source`. Decoder warnings (a damaged JPEG
// stream) count as failures. Images above 2^28 pixels are refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/image/image.h"

namespace eosin::core {

using Bytes = std::vector<uint8_t>;

enum class Subsampling { k444, k420, kGray };

bool IsJpeg(std::span<const uint8_t> bytes);
bool IsPng(std::span<const uint8_t> bytes);

// Either format by its first bytes, as RGB. Grey pictures become RGB; alpha is dropped.
Image DecodeRgb(std::span<const uint8_t> bytes, const std::string& source);
// A mask of whole numbers, one a pixel, row-major.
struct Mask16 {
  int width = 0, height = 0;
  std::vector<uint16_t> pixels;
};
// A PNG mask as its stored indices or grey values of 1 to 16 bits (no palette look-up). Colour
// pictures are refused with their number of colours, JPEG because it changes numbers.
Mask16 DecodeMask16(std::span<const uint8_t> bytes, const std::string& source);
// The same in 8 bits; larger values are refused.
Image DecodeMask(std::span<const uint8_t> bytes, const std::string& source);
// Width and height from the header alone.
void ImageSize(std::span<const uint8_t> bytes, const std::string& source, int* width, int* height);

Image ReadRgb(const std::filesystem::path& path);
Image ReadMask(const std::filesystem::path& path);
Mask16 ReadMask16(const std::filesystem::path& path);

// quality 1-100. 1-channel images are written as grey.
Bytes EncodeJpeg(const Image& image, int quality, Subsampling subsampling = Subsampling::k420);
// The same into `bytes`, whose room is used again.
void EncodeJpeg(const Image& image, int quality, Subsampling subsampling, Bytes* bytes);
Bytes EncodePng(const Image& image, int compression = 6);
Bytes EncodePng16(const Mask16& mask, int compression = 6);

}  // namespace eosin::core
