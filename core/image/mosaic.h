// SPDX-License-Identifier: Apache-2.0
// Windows of a picture that lies in memory as equal RGB tiles: copied, or resampled to any scale
// straight from the tiles.
//
// Resampling is PIL's Image.resize(BILINEAR, box=window) on the whole picture (upsampling:
// BICUBIC): the anti-aliased filter looks beyond the window and is cut off only at the picture's
// edge, so a pixel depends on its place in the picture alone and overlapping windows agree. PIL
// rounds to 8 bits between its two passes; downsampling here keeps 7 more bits, so the two differ
// by at most one grey level. Integer arithmetic throughout: the same result with and without AVX2.
#pragma once

#include <cstdint>
#include <vector>

#include "core/image/image.h"

namespace eosin::core {

// columns x rows tiles of the grid that the picture is cut into. Borrowed.
struct Mosaic {
  int tile_width = 0, tile_height = 0;  // pixels; a tile's rows follow without gaps
  int64_t width = 0, height = 0;        // of the picture; what tiles hold beyond is never looked at
  int64_t first_column = 0, first_row = 0;
  int columns = 0, rows = 0;
  const uint8_t* const* tiles = nullptr;  // row by row

  const uint8_t* at(int64_t x, int64_t y) const {  // picture coordinates
    const int64_t column = x / tile_width, row = y / tile_height;
    return tiles[(row - first_row) * columns + (column - first_column)] +
           ((y - row * tile_height) * tile_width + (x - column * tile_width)) * 3;
  }
};

// Fills `out` (its size is the window's) from (x, y) on; white beyond the picture.
void CopyWindow(const Mosaic& source, int64_t x, int64_t y, Image* out);

struct PixelSpan {
  int64_t begin = 0, end = 0;
};

// Resamples square windows of ratio * outputs source pixels to outputs x outputs. Keeps filter
// weights and room between calls: one a thread.
class MosaicResampler {
 public:
  // ratio: source pixels per output pixel, > 0.
  MosaicResampler(double ratio, int outputs);

  // The source pixels of an axis that a window beginning at `begin` looks at, of `size` there are.
  static PixelSpan Span(double ratio, int outputs, double begin, int64_t size);

  // The tiles of the window's spans must be there. Reallocates `out` where its size differs.
  void Run(const Mosaic& source, double x, double y, Image* out);

 private:
  // Weights of one axis, relative to the pixel that holds the window's begin.
  struct Axis {
    double phase = -1;          // begin - floor(begin)
    int64_t low = 0, high = 0;  // pixels there are, relative
    std::vector<int64_t> start;
    std::vector<int> count;
    std::vector<double> weights;  // `stride` an output
    int stride = 0;
    std::vector<uint32_t> down;    // in units of 2^-15, twice in a word
    std::vector<int16_t> across;   // in units of 2^-14, laid out for the kernel
    std::vector<int> pairs;        // of taps, a group of four outputs
    std::vector<int> first_value;  // three times start, from the span's first pixel on
  };

  struct RowPlace {
    const uint8_t* const* tiles;  // of the row of tiles
    int64_t offset;               // into each of them
  };
  struct RunPlace {  // neighbouring pixels of one tile
    int64_t column, offset, out;
    int values;
  };

  bool Refresh(double begin, int64_t size, Axis* axis) const;
  void PrepareDown(Axis* axis) const;
  void PrepareAcross(Axis* axis) const;
  void FindPlaces(const Mosaic& source, int64_t left, int64_t right, int64_t top, int64_t bottom);
  void PrefetchFor(int i) const;
  void RunCubic(const Mosaic& source, double x, double y, Image* out);

  const double ratio_;
  const int outputs_;
  Axis x_, y_;
  std::vector<int16_t> line_;
  std::vector<uint8_t> narrow_;
  std::vector<RowPlace> rows_;
  std::vector<RunPlace> runs_;
  std::vector<const uint8_t*> taps_;
  Image window_;
};

}  // namespace eosin::core
