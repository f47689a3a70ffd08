// SPDX-License-Identifier: Apache-2.0
// A whole-slide image through OpenSlide: pyramid, scale, scanned bounds and pixels. One Slide
// serves one thread; several Slides may read the same file.
//
// Scale is microns per pixel, never a rounded magnification. A slide that does not say its scale
// keeps mpp unknown: callers refuse it or take an override; nothing is guessed from the power.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/image/image.h"

typedef struct _openslide openslide_t;

namespace eosin::tiling {

namespace fs = std::filesystem;

struct SlideLevel {
  int64_t width = 0, height = 0;
  double downsample = 1;  // level-0 pixels per pixel of this level, not rounded
};

// um per level-0 pixel and where that came from.
struct SlideMpp {
  double x = 0, y = 0;
  std::string source;  // "openslide.mpp-x", "tiff.XResolution", "override"; empty: unknown
  std::string doubt;   // why a scale found in the file was not believed; may be empty
  bool known() const { return x > 0 && y > 0; }
  double mean() const;  // geometric
};

// What the plan needs of a slide: no handle, no pixels.
struct SlideGeometry {
  int64_t width = 0, height = 0;    // level 0
  std::array<int64_t, 4> bounds{};  // x, y, width, height; the whole slide when not given
  // Level 0 first. Levels smaller than one of their own TIFF tiles are left out: OpenSlide 3.4.1
  // over libtiff 4.5 returns wrong pixels for them, without an error.
  std::vector<SlideLevel> levels;
  SlideMpp mpp;
};

class Slide {
 public:
  // SlideError when the file is missing, not a slide, or damaged.
  static Slide Open(const fs::path& path);
  Slide(Slide&&) noexcept = default;
  Slide& operator=(Slide&&) noexcept = default;

  const fs::path& path() const { return path_; }
  const SlideGeometry& geometry() const { return geometry_; }
  int64_t width() const { return geometry_.width; }
  int64_t height() const { return geometry_.height; }
  const std::vector<SlideLevel>& levels() const { return geometry_.levels; }
  const SlideMpp& mpp() const { return geometry_.mpp; }
  const std::string& vendor() const { return vendor_; }
  double objective_power() const { return objective_power_; }  // 0 unknown
  const std::map<std::string, std::string>& properties() const { return properties_; }
  std::vector<std::string> associated_names() const;

  // The user's word against the file's; um per level-0 pixel.
  void OverrideMpp(double mpp);
  // mpp(), or SlideError whose hint tells how to give it.
  const SlideMpp& RequireMpp() const;

  // RGB pixels of a level, blended onto white where the slide is transparent. x0, y0 in level-0
  // pixels; width and height in pixels of the level. A damaged part throws SlideError; OpenSlide
  // would refuse every later read too, so the handle is opened anew and the next read is a fresh
  // start.
  core::Image ReadRegion(int64_t x0, int64_t y0, int level, int width, int height);

 private:
  struct Close {
    void operator()(openslide_t* handle) const;
  };
  Slide() = default;
  void OpenHandle();
  void ReadProperties();
  void ReadGeometry();

  fs::path path_;
  std::unique_ptr<openslide_t, Close> handle_;
  SlideGeometry geometry_;
  std::string vendor_;
  double objective_power_ = 0;
  bool misread_ = false;  // level 0 is smaller than one of its tiles: ReadRegion throws
  std::map<std::string, std::string> properties_;
};

// Finds um/px among a slide's properties: OpenSlide's own, else a TIFF resolution with a unit.
// Values that no slide has (outside 0.05-20 um/px; TIFF writers leave 72 dpi = 353 um/px behind,
// and unit slips of 10x occur) are not believed and named in `doubt`.
SlideMpp FindMpp(const std::map<std::string, std::string>& properties);

// The whole slide, shrunk: each pixel is the mean of block x block pixels of `level`.
struct Overview {
  core::Image image;
  double scale = 1;  // level-0 pixels per pixel of the image (x and y alike)
  int unread = 0;    // parts that could not be read; they are white
};

// Means of block x block pixels; cells at the right and lower edge average what there is of them.
core::Image ShrinkByMean(const core::Image& image, int block);

// About `mpp` um per pixel, finer if the slide has nothing to average to it exactly, and never over
// `max_side` pixels a side. Reads in bands: memory is a band and the result. SlideError when no
// part can be read.
Overview ReadOverview(Slide& slide, double mpp, int max_side = 8192);

// Slide files by extension, for folders.
const std::vector<std::string>& SlideExtensions();

}  // namespace eosin::tiling
