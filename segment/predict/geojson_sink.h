// SPDX-License-Identifier: Apache-2.0
// The regions of the label map as GeoJSON for QuPath, written while bands come: a feature a region
// (4-connected, one class), a closed outer ring and holes as inner rings in level-0 pixels,
// classification with name and colour. Memory: outline.h's corners of regions that are still open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "segment/predict/class_style.h"
#include "segment/predict/outline.h"
#include "segment/predict/pipeline.h"

namespace eosin::segment {

struct GeoJsonOptions {
  double downsample = 1;  // level-0 pixels per pixel of the label map
  // Size of the slide, level 0: the raster's last pixels may reach beyond it, outlines do not.
  double width = std::numeric_limits<double>::infinity();
  double height = std::numeric_limits<double>::infinity();
  double offset_x = 0, offset_y = 0;  // level 0, taken off every coordinate
  int64_t min_pixels = 0;             // regions below are left out
  bool exact = false;                 // ExactOutline instead of SimplifiedOutline
};

class GeoJsonSink : public BandSink {
 public:
  // MachineError, here and below, when the disk does not take it.
  GeoJsonSink(const std::filesystem::path& path, int64_t width,
              const std::vector<ClassStyle>& classes, const GeoJsonOptions& options);
  void Take(const Band& band) override;
  void Finish();  // puts the file under its name
  int64_t features() const { return features_; }
  int64_t cuts() const { return tracer_.cuts(); }

 private:
  void Write(const TracedRegion& region);
  void CheckFile();

  core::AtomicFile file_;
  std::ofstream out_;
  std::vector<std::string> properties_;  // of each class
  const GeoJsonOptions options_;
  PolygonTracer tracer_;
  int64_t features_ = 0;
  std::string text_;
};

}  // namespace eosin::segment
