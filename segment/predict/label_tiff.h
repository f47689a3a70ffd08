// SPDX-License-Identifier: Apache-2.0
// Pictures of the whole raster as tiled BigTIFF, written while bands come (kBlock px tiles,
// deflate), with the raster's scale in their tags. They appear whole or not at all.
//
// The label map is a palette picture, pixel value = class, kNotPredicted = white, with levels of
// half the size each, down to the last one that is no smaller than a tile: OpenSlide opens it as
// generic-tiff, QuPath and tifffile as they are. A pixel of a level is the commonest of its four
// (the first among equals in reading order). Memory: a row of tiles a level; levels wait in files
// of `folder` until the first is done.
//
// The probability map has a plane a class (uint8, 255 = 1) and no levels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "segment/predict/class_style.h"
#include "segment/predict/pipeline.h"

namespace eosin::segment {

struct RasterInfo {
  int64_t width = 0, height = 0;
  double mpp = 0;  // um per pixel
};

class LabelTiff : public BandSink {
 public:
  // MachineError, here and below, when the disk does not take it.
  LabelTiff(const std::filesystem::path& path, const std::filesystem::path& folder,
            const RasterInfo& raster, const std::vector<ClassStyle>& classes);
  ~LabelTiff() override;
  void Take(const Band& band) override;
  void Finish();  // writes the levels and puts the file under its name

 private:
  struct Level;
  struct State;
  void AddRows(size_t level, const uint8_t* rows, int64_t count);
  void FlushTiles(size_t level);
  std::unique_ptr<State> state_;
};

class ProbabilityTiff : public BandSink {
 public:
  ProbabilityTiff(const std::filesystem::path& path, const RasterInfo& raster,
                  const std::vector<ClassStyle>& classes);
  ~ProbabilityTiff() override;
  void Take(const Band& band) override;
  void Finish();

 private:
  struct State;
  void FlushTiles();
  std::unique_ptr<State> state_;
};

}  // namespace eosin::segment
