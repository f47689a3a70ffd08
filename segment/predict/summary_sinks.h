// SPDX-License-Identifier: Apache-2.0
// What is small about a slide's prediction: pixels a class, and a picture for people.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/image/image.h"
#include "segment/predict/class_style.h"
#include "segment/predict/pipeline.h"
#include "segment/predict/predict_plan.h"

namespace eosin::segment {

// Pixels of every label.
class ClassCounts : public BandSink {
 public:
  void Take(const Band& band) override;
  int64_t operator[](size_t label) const { return counts_[label]; }

 private:
  std::array<int64_t, 256> counts_{};
};

inline constexpr int kOverlaySide = 2048;

// The slide, shrunk, tinted by the mean colour of the classes below each of its pixels: at most
// kOverlaySide pixels a side, half opaque where all of a pixel is of an outlined class. Where the
// raster is smaller than the picture, pixels take the class of the nearest.
class Overlay : public BandSink {
 public:
  // overview: RGB of the whole slide, any size.
  Overlay(const core::Image& overview, int64_t width, int64_t height,
          const std::vector<ClassStyle>& classes);
  void Take(const Band& band) override;
  const core::Image& picture() const { return picture_; }  // after the last band

 private:
  void FinishRow();

  core::Image picture_;
  const int64_t height_;  // of the raster
  std::vector<ClassStyle> classes_;
  std::vector<std::array<uint32_t, 256>> counts_;  // of the picture's row in work
  std::vector<Span> columns_;                      // of the raster, below each of the picture's
  int64_t y_ = 0;
  int row_ = 0;
};

}  // namespace eosin::segment
