// SPDX-License-Identifier: Apache-2.0
#include "core/image/codec.h"

#include <spng.h>
#include <turbojpeg.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/base/error.h"
#include "core/base/files.h"

namespace eosin::core {
namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 28;

struct TjFree {
  void operator()(void* handle) const { tjDestroy(handle); }
};
struct SpngFree {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};
using TjHandle = std::unique_ptr<void, TjFree>;
using SpngContext = std::unique_ptr<spng_ctx, SpngFree>;

// One decompressor a thread: making one costs as much as decoding a small tile.
tjhandle Decompressor() {
  thread_local TjHandle handle(tjInitDecompress());
  return handle.get();
}

[[noreturn]] void ThrowBad(const std::string& source, const std::string& why) {
  throw DataError("cannot decode " + source + ": " + why,
                  "the file is damaged or not a JPEG or PNG picture; replace or remove it");
}

void CheckSize(int64_t width, int64_t height, const std::string& source) {
  if (width <= 0 || height <= 0 || width * height > kMaxPixels) {
    ThrowBad(source, std::to_string(width) + " x " + std::to_string(height) + " pixels");
  }
}

struct JpegHeader {
  int width = 0, height = 0, subsampling = 0, colorspace = 0;
};

JpegHeader ReadJpegHeader(std::span<const uint8_t> bytes, const std::string& source) {
  JpegHeader header;
  if (tjDecompressHeader3(Decompressor(), bytes.data(), bytes.size(), &header.width, &header.height,
                          &header.subsampling, &header.colorspace) != 0) {
    ThrowBad(source, tjGetErrorStr2(Decompressor()));
  }
  CheckSize(header.width, header.height, source);
  return header;
}

Image DecodeJpeg(std::span<const uint8_t> bytes, const std::string& source) {
  const JpegHeader header = ReadJpegHeader(bytes, source);
  if (header.colorspace == TJCS_CMYK || header.colorspace == TJCS_YCCK) {
    ThrowBad(source, "CMYK JPEG is not supported");
  }
  Image image(header.width, header.height, 3);
  if (tjDecompress2(Decompressor(), bytes.data(), bytes.size(), image.pixels.data(), header.width,
                    0, header.height, TJPF_RGB, 0) != 0) {
    ThrowBad(source, tjGetErrorStr2(Decompressor()));
  }
  return image;
}

SpngContext OpenPng(std::span<const uint8_t> bytes, const std::string& source, spng_ihdr* header) {
  SpngContext context(spng_ctx_new(0));
  spng_set_png_buffer(context.get(), bytes.data(), bytes.size());
  spng_set_image_limits(context.get(), 1u << 20, 1u << 20);
  if (const int error = spng_get_ihdr(context.get(), header)) {
    ThrowBad(source, spng_strerror(error));
  }
  CheckSize(header->width, header->height, source);
  return context;
}

Bytes DecodePng(spng_ctx* context, int format, const std::string& source) {
  size_t size = 0;
  if (const int error = spng_decoded_image_size(context, format, &size)) {
    ThrowBad(source, spng_strerror(error));
  }
  Bytes pixels(size);
  if (const int error = spng_decode_image(context, pixels.data(), size, format, 0)) {
    ThrowBad(source, spng_strerror(error));
  }
  return pixels;
}

std::span<const uint8_t> AsSpan(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

bool IsJpeg(std::span<const uint8_t> bytes) {
  return bytes.size() > 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

bool IsPng(std::span<const uint8_t> bytes) {
  static const uint8_t kMagic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  return bytes.size() > 8 && std::equal(kMagic, kMagic + 8, bytes.begin());
}

Image DecodeRgb(std::span<const uint8_t> bytes, const std::string& source) {
  if (IsJpeg(bytes)) return DecodeJpeg(bytes, source);
  if (!IsPng(bytes)) ThrowBad(source, "neither JPEG nor PNG");
  spng_ihdr header{};
  const SpngContext context = OpenPng(bytes, source, &header);
  Image image;
  image.width = static_cast<int>(header.width);
  image.height = static_cast<int>(header.height);
  image.pixels = DecodePng(context.get(), SPNG_FMT_RGB8, source);
  return image;
}

Mask16 DecodeMask16(std::span<const uint8_t> bytes, const std::string& source) {
  if (!IsPng(bytes)) {
    throw DataError("mask " + source + (IsJpeg(bytes) ? " is a JPEG" : " is not a PNG"),
                    "save masks as PNG with one class index a pixel: JPEG changes indices");
  }
  spng_ihdr header{};
  const SpngContext context = OpenPng(bytes, source, &header);
  Mask16 mask{static_cast<int>(header.width), static_cast<int>(header.height), {}};
  if (header.color_type != SPNG_COLOR_TYPE_GRAYSCALE &&
      header.color_type != SPNG_COLOR_TYPE_INDEXED) {
    const Bytes rgb = DecodePng(context.get(), SPNG_FMT_RGB8, source);
    std::vector<bool> seen(size_t{1} << 24, false);
    size_t colours = 0;
    for (size_t i = 0; i < rgb.size(); i += 3) {
      const size_t colour = size_t{rgb[i]} << 16 | size_t{rgb[i + 1]} << 8 | rgb[i + 2];
      colours += !seen[colour];
      seen[colour] = true;
    }
    throw DataError(
        "mask " + source + " is a colour picture of " + std::to_string(colours) +
            (colours == 1 ? " colour" : " colours") + ", not class indices",
        "save masks as grey or palette PNG with one class index a pixel, e.g. each colour as "
        "its number");
  }
  const Bytes raw = DecodePng(context.get(), SPNG_FMT_PNG, source);
  mask.pixels.resize(size_t{header.width} * header.height);
  if (header.bit_depth == 8) {
    std::copy_n(raw.begin(), mask.pixels.size(), mask.pixels.begin());
  } else if (header.bit_depth == 16) {
    std::memcpy(mask.pixels.data(), raw.data(), 2 * mask.pixels.size());  // host byte order
  } else {  // 1, 2 or 4 bits, rows padded to bytes
    const size_t depth = header.bit_depth;
    const size_t row_bytes = (header.width * depth + 7) / 8;
    for (size_t y = 0; y < header.height; ++y) {
      for (size_t x = 0; x < header.width; ++x) {
        const size_t bit = x * depth;
        const uint8_t byte = raw[y * row_bytes + bit / 8];
        mask.pixels[y * header.width + x] =
            static_cast<uint16_t>((byte >> (8 - depth - bit % 8)) & ((1u << depth) - 1));
      }
    }
  }
  return mask;
}

Image DecodeMask(std::span<const uint8_t> bytes, const std::string& source) {
  const Mask16 wide = DecodeMask16(bytes, source);
  Image mask(wide.width, wide.height, 1);
  for (size_t i = 0; i < wide.pixels.size(); ++i) {
    if (wide.pixels[i] > 255) {
      throw DataError("mask " + source + " holds the value " + std::to_string(wide.pixels[i]),
                      "values above 255 are not supported; renumber the mask");
    }
    mask.pixels[i] = static_cast<uint8_t>(wide.pixels[i]);
  }
  return mask;
}

void ImageSize(std::span<const uint8_t> bytes, const std::string& source, int* width, int* height) {
  if (IsJpeg(bytes)) {
    const JpegHeader header = ReadJpegHeader(bytes, source);
    *width = header.width;
    *height = header.height;
    return;
  }
  if (!IsPng(bytes)) ThrowBad(source, "neither JPEG nor PNG");
  spng_ihdr header{};
  OpenPng(bytes, source, &header);
  *width = static_cast<int>(header.width);
  *height = static_cast<int>(header.height);
}

Image ReadRgb(const std::filesystem::path& path) {
  return DecodeRgb(AsSpan(ReadFile(path)), path.string());
}

Image ReadMask(const std::filesystem::path& path) {
  return DecodeMask(AsSpan(ReadFile(path)), path.string());
}

Mask16 ReadMask16(const std::filesystem::path& path) {
  return DecodeMask16(AsSpan(ReadFile(path)), path.string());
}

Bytes EncodeJpeg(const Image& image, int quality, Subsampling subsampling) {
  Bytes bytes;
  EncodeJpeg(image, quality, subsampling, &bytes);
  return bytes;
}

void EncodeJpeg(const Image& image, int quality, Subsampling subsampling, Bytes* bytes) {
  thread_local TjHandle handle(tjInitCompress());
  thread_local Bytes room;  // large enough for any content, so that TurboJPEG never reallocates
  const bool grey = image.channels == 1;
  int mode = subsampling == Subsampling::k444 ? TJSAMP_444 : TJSAMP_420;
  if (grey || subsampling == Subsampling::kGray) mode = TJSAMP_GRAY;
  const unsigned long most = tjBufSize(image.width, image.height, mode);
  int failed = most == static_cast<unsigned long>(-1);
  unsigned long size = most;
  if (!failed) {
    if (room.size() < most) room.resize(most);
    unsigned char* buffer = room.data();
    failed = tjCompress2(handle.get(), image.pixels.data(), image.width, 0, image.height,
                         grey ? TJPF_GRAY : TJPF_RGB, &buffer, &size, mode, quality,
                         TJFLAG_ACCURATEDCT | TJFLAG_NOREALLOC);
  }
  if (failed) {
    throw DataError(std::string("cannot encode a JPEG: ") + tjGetErrorStr2(handle.get()),
                    "JPEG pictures have at most 65,535 pixels a side");
  }
  bytes->assign(room.begin(), room.begin() + static_cast<ptrdiff_t>(size));
  constexpr size_t kKeep = size_t{1} << 24;
  if (room.size() > kKeep) Bytes().swap(room);
}

namespace {

Bytes WritePng(int width, int height, int bit_depth, spng_color_type color, const void* pixels,
               size_t size, int compression) {
  SpngContext context(spng_ctx_new(SPNG_CTX_ENCODER));
  spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1);
  spng_set_option(context.get(), SPNG_IMG_COMPRESSION_LEVEL, compression);
  spng_ihdr header{};
  header.width = static_cast<uint32_t>(width);
  header.height = static_cast<uint32_t>(height);
  header.bit_depth = static_cast<uint8_t>(bit_depth);
  header.color_type = static_cast<uint8_t>(color);
  spng_set_ihdr(context.get(), &header);
  int error = spng_encode_image(context.get(), pixels, size, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
  size_t length = 0;
  uint8_t* buffer = nullptr;
  if (!error) buffer = static_cast<uint8_t*>(spng_get_png_buffer(context.get(), &length, &error));
  if (error || !buffer) {
    throw DataError(std::string("cannot encode a PNG: ") + spng_strerror(error), "report this");
  }
  Bytes bytes(buffer, buffer + length);
  std::free(buffer);
  return bytes;
}

}  // namespace

Bytes EncodePng(const Image& image, int compression) {
  return WritePng(image.width, image.height, 8,
                  image.channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR,
                  image.pixels.data(), image.pixels.size(), compression);
}

Bytes EncodePng16(const Mask16& mask, int compression) {
  return WritePng(mask.width, mask.height, 16, SPNG_COLOR_TYPE_GRAYSCALE, mask.pixels.data(),
                  2 * mask.pixels.size(), compression);
}

}  // namespace eosin::core
