// SPDX-License-Identifier: Apache-2.0
// Pyramids for tests, written by libtiff. OpenSlide opens them as Aperio unless `aperio` is false.
// WriteSlide is lossless, so that pixels can be told exactly; WriteJpegSlide stores JPEG tiles.
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

struct MadeTiff {
  int tile = kMadeTile;
  int compression = COMPRESSION_ADOBE_DEFLATE;
  int predictor = PREDICTOR_NONE;  // deflate and LZW
  // JPEG
  int quality = 90;
  int subsampling = 420;    // 444, 422, 420: YCbCr; 0: RGB without a colour transform, as Aperio
  bool jpeg_tables = true;  // once a level; false: in every tile
  // container
  const char* mode = "w";  // "w8" BigTIFF, "wb" big-endian, "wb8" both
  bool aperio = true;      // false: generic tiled TIFF, scale as TIFF resolution in centimeters
};

// Tiles at the edges are filled up with their last row and column.
inline void CutTile(const core::Image& image, int x0, int y0, int side, uint8_t* out) {
  const int channels = image.channels;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const uint8_t* p =
          image.at(std::min(x0 + x, image.width - 1), std::min(y0 + y, image.height - 1));
      out = std::copy_n(p, channels, out);
    }
  }
}

// One tiled directory a level, RGB or grey (1 channel). mpp 0 leaves the scale out.
inline void WriteTiff(const fs::path& path, const std::vector<core::Image>& levels, double mpp,
                      const MadeTiff& made) {
  TIFF* tiff = TIFFOpen(path.c_str(), made.mode);
  ASSERT_NE(tiff, nullptr);
  char text[128];
  std::snprintf(text, sizeof text, "|AppMag = 20|MPP = %.6f", mpp);
  const std::string description =
      std::string("Aperio Image Library made for a test") + (mpp > 0 ? text : "|Note = none");
  for (size_t i = 0; i < levels.size(); ++i) {
    const core::Image& level = levels[i];
    const bool ycbcr =
        made.compression == COMPRESSION_JPEG && made.subsampling != 0 && level.channels == 3;
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, level.width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, level.height);
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, made.tile);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, made.tile);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, level.channels);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC,
                 level.channels == 1 ? PHOTOMETRIC_MINISBLACK
                 : ycbcr             ? PHOTOMETRIC_YCBCR
                                     : PHOTOMETRIC_RGB);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, made.compression);
    if (made.compression == COMPRESSION_JPEG) {
      TIFFSetField(tiff, TIFFTAG_JPEGQUALITY, made.quality);
      TIFFSetField(tiff, TIFFTAG_JPEGTABLESMODE,
                   made.jpeg_tables ? JPEGTABLESMODE_QUANT | JPEGTABLESMODE_HUFF : 0);
      if (ycbcr) {
        TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        TIFFSetField(tiff, TIFFTAG_YCBCRSUBSAMPLING, made.subsampling == 444 ? 1 : 2,
                     made.subsampling == 420 ? 2 : 1);
      }
    } else if (made.predictor != PREDICTOR_NONE) {
      TIFFSetField(tiff, TIFFTAG_PREDICTOR, made.predictor);
    }
    if (made.aperio) {
      TIFFSetField(tiff, TIFFTAG_IMAGEDESCRIPTION, description.c_str());
    } else {
      if (i > 0) TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE);
      if (mpp > 0 && i == 0) {
        TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER);
        TIFFSetField(tiff, TIFFTAG_XRESOLUTION, 1e4 / mpp);
        TIFFSetField(tiff, TIFFTAG_YRESOLUTION, 1e4 / mpp);
      }
    }
    const size_t side = static_cast<size_t>(made.tile);
    std::vector<uint8_t> tile(side * side * static_cast<size_t>(level.channels));
    for (int y = 0; y < level.height; y += made.tile) {
      for (int x = 0; x < level.width; x += made.tile) {
        CutTile(level, x, y, made.tile, tile.data());
        TIFFWriteTile(tiff, tile.data(), static_cast<uint32_t>(x), static_cast<uint32_t>(y), 0, 0);
      }
    }
    TIFFWriteDirectory(tiff);
  }
  TIFFClose(tiff);
}

// Lossless (deflate), 256 px tiles.
inline void WriteSlide(const fs::path& path, const std::vector<core::Image>& levels, double mpp) {
  WriteTiff(path, levels, mpp, MadeTiff{});
}

// JPEG tiles; subsampling 444, 422, 420, or 0 for RGB without a colour transform.
inline void WriteJpegSlide(const fs::path& path, const std::vector<core::Image>& levels, double mpp,
                           int quality = 90, int subsampling = 420, int tile = kMadeTile) {
  MadeTiff made;
  made.compression = COMPRESSION_JPEG;
  made.quality = quality;
  made.subsampling = subsampling;
  made.tile = tile;
  WriteTiff(path, levels, mpp, made);
}

// Where a stored tile lies in the file.
struct StoredTile {
  uint64_t offset = 0, bytes = 0;
};
inline StoredTile FindTile(const fs::path& path, uint32_t tile, int level = 0) {
  TIFF* tiff = TIFFOpen(path.c_str(), "r");
  StoredTile found;
  if (!tiff) return found;
  TIFFSetDirectory(tiff, static_cast<tdir_t>(level));
  uint64_t *offsets = nullptr, *bytes = nullptr;
  TIFFGetField(tiff, TIFFTAG_TILEOFFSETS, &offsets);
  TIFFGetField(tiff, TIFFTAG_TILEBYTECOUNTS, &bytes);
  found = {offsets[tile], bytes[tile]};
  TIFFClose(tiff);
  return found;
}

inline void OverwriteFile(const fs::path& path, uint64_t offset, const std::string& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "r+b");
  ASSERT_NE(file, nullptr);
  std::fseek(file, static_cast<long>(offset), SEEK_SET);
  std::fwrite(bytes.data(), 1, bytes.size(), file);
  std::fclose(file);
}

// Bytes at the start of one level-0 tile overwritten: it no longer decodes.
inline void DamageTile(const fs::path& path, uint32_t tile) {
  OverwriteFile(path, FindTile(path, tile).offset, "this is no deflate stream");
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
