// SPDX-License-Identifier: Apache-2.0
// Pyramids for tests, lossless, so that pixels can be told exactly. OpenSlide opens them as Aperio.
#pragma once

#include <tiffio.h>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "core/image/image.h"
#include "tests/testing.h"

namespace eosin::testing {

constexpr int kMadeTile = 256;

// One directory a level, tiled, deflate. mpp 0 leaves the scale out.
inline void WriteSlide(const fs::path& path, const std::vector<core::Image>& levels, double mpp) {
  TIFF* tiff = TIFFOpen(path.c_str(), "w");
  ASSERT_NE(tiff, nullptr);
  char text[128];
  std::snprintf(text, sizeof text, "|AppMag = 20|MPP = %.6f", mpp);
  const std::string description =
      std::string("Aperio Image Library made for a test") + (mpp > 0 ? text : "|Note = none");
  for (const core::Image& level : levels) {
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, level.width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, level.height);
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, kMadeTile);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, kMadeTile);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 3);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
    TIFFSetField(tiff, TIFFTAG_IMAGEDESCRIPTION, description.c_str());
    std::vector<uint8_t> tile(kMadeTile * kMadeTile * 3);
    for (int y = 0; y < level.height; y += kMadeTile) {
      for (int x = 0; x < level.width; x += kMadeTile) {
        std::fill(tile.begin(), tile.end(), uint8_t{0});
        const int columns = std::min(kMadeTile, level.width - x);
        for (int r = 0; r < std::min(kMadeTile, level.height - y); ++r) {
          std::copy_n(level.at(x, y + r), columns * 3,
                      &tile[static_cast<size_t>(r) * kMadeTile * 3]);
        }
        TIFFWriteTile(tiff, tile.data(), static_cast<uint32_t>(x), static_cast<uint32_t>(y), 0, 0);
      }
    }
    TIFFWriteDirectory(tiff);
  }
  TIFFClose(tiff);
}

// Bytes of one level-0 tile overwritten: it no longer decodes.
inline void DamageTile(const fs::path& path, uint32_t tile) {
  TIFF* tiff = TIFFOpen(path.c_str(), "r");
  ASSERT_NE(tiff, nullptr);
  uint64_t* offsets = nullptr;
  TIFFGetField(tiff, TIFFTAG_TILEOFFSETS, &offsets);
  const long offset = static_cast<long>(offsets[tile]);
  TIFFClose(tiff);
  std::FILE* file = std::fopen(path.c_str(), "r+b");
  std::fseek(file, offset, SEEK_SET);
  std::fputs("this is no deflate stream", file);
  std::fclose(file);
}

// Grey glass with a purple disc; each pixel of the disc tells its place.
inline core::Image DiscPicture(int width, int height, double cx, double cy, double radius) {
  core::Image image(width, height, 3, 242);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      if ((x - cx) * (x - cx) + (y - cy) * (y - cy) > radius * radius) continue;
      uint8_t* p = image.at(x, y);
      p[0] = static_cast<uint8_t>(150 + (x & 31));
      p[1] = static_cast<uint8_t>(60 + (y & 31));
      p[2] = 160;
    }
  }
  return image;
}

}  // namespace eosin::testing
