// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/tile_codec.h"

#include <fmt/format.h>
#include <libdeflate.h>
#include <algorithm>
#include <array>

#include "tiling/slides/shrink.h"
#include "tiling/slides/tiff_directory.h"

namespace eosin::tiling {
namespace {

bool Fail(std::string* error, const std::string& why) {
  if (error) *error = why;
  return false;
}

// Horizontal differencing undone.
void Accumulate(uint8_t* row, int width, int samples) {
  for (int i = samples; i < width * samples; ++i) {
    row[i] = static_cast<uint8_t>(row[i] + row[i - samples]);
  }
}

}  // namespace

struct TileCodec::Inflater {
  libdeflate_decompressor* handle = libdeflate_alloc_decompressor();
  Inflater() = default;
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() {
    if (handle) libdeflate_free_decompressor(handle);
  }
};

TileCodec::TileCodec(TileFormat format) : format_(std::move(format)) {
  if (format_.compression == kTiffJpeg) {
    jpeg_ = std::make_unique<JpegDecoder>(format_.tables, format_.colour, format_.width,
                                          format_.height);
  }
}

TileCodec::~TileCodec() = default;

bool TileCodec::Decode(std::span<const uint8_t> bytes, int shrink, uint8_t* rgb, ptrdiff_t stride,
                       std::string* error) {
  if (shrink != 1 && shrink != 2 && shrink != 4 && shrink != 8) {
    return Fail(error, fmt::format("cannot shrink by {}", shrink));
  }
  if (format_.width % shrink != 0 || format_.height % shrink != 0) {
    return Fail(error, fmt::format("tiles of {} x {} px cannot be shrunk by {}", format_.width,
                                   format_.height, shrink));
  }
  if (jpeg_) return jpeg_->Decode(bytes, shrink, rgb, stride, error);
  if (!Unpack(bytes, error)) return false;

  const size_t row_bytes =
      static_cast<size_t>(format_.width) * static_cast<size_t>(format_.samples);
  for (int y = 0; y < format_.height && format_.predictor == 2; ++y) {
    Accumulate(&samples_[static_cast<size_t>(y) * row_bytes], format_.width, format_.samples);
  }
  if (format_.samples == 1) {  // grey to RGB, from the end so that it can be done in place
    samples_.resize(samples_.size() * 3);
    for (size_t i = samples_.size() / 3; i-- > 0;) {
      std::fill_n(&samples_[3 * i], 3, samples_[i]);
    }
  }
  const size_t rgb_row = static_cast<size_t>(format_.width) * 3;
  if (shrink > 1) {
    ShrinkRgb(samples_.data(), format_.width, format_.height, shrink, rgb, stride);
    return true;
  }
  for (int y = 0; y < format_.height; ++y) {
    std::copy_n(&samples_[static_cast<size_t>(y) * rgb_row], rgb_row, rgb + y * stride);
  }
  return true;
}

bool TileCodec::Unpack(std::span<const uint8_t> bytes, std::string* error) {
  samples_.resize(static_cast<size_t>(format_.width) * static_cast<size_t>(format_.height) *
                  static_cast<size_t>(format_.samples));
  switch (format_.compression) {
    case kTiffNone:
      if (bytes.size() < samples_.size()) {
        return Fail(error, fmt::format("{} bytes instead of {}", bytes.size(), samples_.size()));
      }
      std::copy_n(bytes.begin(), samples_.size(), samples_.begin());
      return true;
    case kTiffLzw:
      return UnpackLzw(bytes, samples_) || Fail(error, "LZW: damaged or cut short");
    case kTiffDeflate:
    case kTiffOldDeflate: {
      if (!inflater_) inflater_ = std::make_unique<Inflater>();
      if (!inflater_->handle) {
        inflater_.reset();
        return Fail(error, "no memory");
      }
      // Its checksum finds damage to pixels.
      const auto result = libdeflate_zlib_decompress(inflater_->handle, bytes.data(), bytes.size(),
                                                     samples_.data(), samples_.size(), nullptr);
      return result == LIBDEFLATE_SUCCESS || Fail(error, "deflate: damaged, or not a tile's bytes");
    }
    default:
      return Fail(error, fmt::format("compression {} is not supported", format_.compression));
  }
}

bool UnpackLzw(std::span<const uint8_t> bytes, std::span<uint8_t> out) {
  constexpr int kClear = 256, kEnd = 257, kFirst = 258, kCodes = 4096;
  // A string is the place in `out` where it was last written: no table of suffixes.
  std::array<size_t, kCodes> start{}, length{};
  size_t written = 0, previous_start = 0, previous_length = 0;
  int next = kFirst, width = 9;
  uint32_t buffer = 0;
  int bits = 0;
  bool fresh = true;  // after a clear code; TIFF streams start with one
  for (size_t p = 0; written < out.size();) {
    while (bits < width) {
      if (p >= bytes.size()) return false;
      buffer = buffer << 8 | bytes[p++];
      bits += 8;
    }
    const int code = static_cast<int>(buffer >> (bits - width) & ((1u << width) - 1));
    bits -= width;
    if (code == kClear) {
      next = kFirst;
      width = 9;
      fresh = true;
      continue;
    }
    if (code == kEnd) return false;
    size_t from = 0, count = 1;
    const bool known = code < 256 || (code >= kFirst && code < next && !fresh);
    if (code >= kFirst && known) {
      from = start[static_cast<size_t>(code)];
      count = length[static_cast<size_t>(code)];
    } else if (!known) {  // the string being defined: the previous one and its own first byte
      if (fresh || code != next) return false;
      from = previous_start;
      count = previous_length + 1;
    }
    if (count > out.size() - written) return false;
    if (code < 256) {
      out[written] = static_cast<uint8_t>(code);
    } else {  // may overlap what is being written: byte by byte
      for (size_t i = 0; i < count; ++i) out[written + i] = out[from + i];
    }
    if (!fresh && next < kCodes) {
      // previous string + first byte of this one: they lie next to each other in `out`
      start[static_cast<size_t>(next)] = previous_start;
      length[static_cast<size_t>(next)] = previous_length + 1;
      ++next;
    }
    fresh = false;
    previous_start = written;
    previous_length = count;
    written += count;
    // Early change: one code before it is needed.
    if (next + 1 >= 1 << width && width < 12) ++width;
  }
  return true;
}

}  // namespace eosin::tiling
