// SPDX-License-Identifier: Apache-2.0
// A whole-slide image: pyramid, scale, scanned bounds, stored tiles and pixels. Two readers stand
// behind it: TiffSlide reads Aperio SVS and generic tiled TIFF by itself (tiff_slide.h), and
// OpenSlide reads everything else (openslide_slide.h).
//
// Scale is microns per pixel, never a rounded magnification. A slide that does not say its scale
// keeps mpp unknown: callers refuse it or take an override.
//
// A Slide may be read from any number of threads, each through a decoder of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/image/codec.h"
#include "core/image/image.h"
#include "tiling/slides/geometry.h"
#include "tiling/slides/slide_extensions.h"
#include "tiling/slides/tile_decoder.h"

namespace eosin::tiling {

namespace fs = std::filesystem;

enum class SlideReader { kAuto, kTiff, kOpenSlide };

class Slide {
 public:
  // kAuto: our TIFF reader when it knows the file, else OpenSlide. SlideError when the file is
  // missing, not a slide, or damaged.
  static std::unique_ptr<Slide> Open(const fs::path& path, SlideReader reader = SlideReader::kAuto);
  virtual ~Slide() = default;
  Slide(const Slide&) = delete;
  Slide& operator=(const Slide&) = delete;

  const fs::path& path() const { return path_; }
  const SlideGeometry& geometry() const { return geometry_; }
  int64_t width() const { return geometry_.width; }
  int64_t height() const { return geometry_.height; }
  const std::vector<SlideLevel>& levels() const { return geometry_.levels; }
  const SlideLevel& level(int i) const { return geometry_.levels.at(static_cast<size_t>(i)); }
  const SlideMpp& mpp() const { return geometry_.mpp; }
  const std::string& vendor() const { return vendor_; }        // OpenSlide's word, "aperio"
  const std::string& reader() const { return reader_; }        // "tiff", "openslide 4.0.1"
  double objective_power() const { return objective_power_; }  // 0 unknown
  const std::map<std::string, std::string>& properties() const { return properties_; }
  // What a user should know about how the file was read, one sentence each.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // The user's word against the file's; um per level-0 pixel.
  void OverrideMpp(double mpp);
  // mpp(), or SlideError whose hint tells how to give it.
  const SlideMpp& RequireMpp() const;

  // A decoder for one thread; the slide must outlive it. Thread-safe.
  virtual std::unique_ptr<TileDecoder> NewDecoder() const = 0;

  // Pass-through. True when the level's tiles are JPEG streams that can be copied.
  virtual bool StoresJpeg(int level) const;
  // Compressed bytes of a tile, 0 when unknown or absent. No file access.
  virtual int64_t StoredBytes(int level, int64_t index) const;
  // Appends the tile as a JPEG that stands alone: the slide's tables merged, APP14 where the colour
  // transform needs it. False with the reason when it is absent, cannot be read or its markers are
  // damaged (entropy-coded data is not decoded). Thread-safe.
  virtual bool AppendJpeg(int level, int64_t index, core::Bytes* out, std::string* error) const;

  // Label, macro, thumbnail, ...; names sorted.
  virtual std::vector<std::string> associated_names() const = 0;
  virtual core::Image ReadAssociated(const std::string& name) const = 0;  // SlideError

  // RGB pixels of a level, white beyond its edge; x, y, width and height in pixels of the level.
  // SlideError when a tile of the region is bad. Convenience: decodes every tile it touches.
  core::Image ReadRegion(int level, int64_t x, int64_t y, int width, int height) const;

 protected:
  Slide() = default;
  // From levels and properties: sizes, scale, bounds, vendor, power. SlideError without levels.
  void FinishGeometry();

  fs::path path_;
  SlideGeometry geometry_;
  std::string vendor_, reader_;
  double objective_power_ = 0;
  std::map<std::string, std::string> properties_;
  std::vector<std::string> warnings_;

 private:
  // ReadRegion's decoder between calls.
  mutable std::mutex spare_mutex_;
  mutable std::unique_ptr<TileDecoder> spare_;
};

}  // namespace eosin::tiling
