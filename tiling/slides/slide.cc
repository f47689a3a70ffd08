// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/slide.h"

#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "tiling/slides/mpp.h"
#include "tiling/slides/openslide_slide.h"
#include "tiling/slides/tiff_slide.h"

namespace eosin::tiling {
namespace {

constexpr const char* kOverrideHint =
    "if you know the scanner's scale, give it: --mpp-override 0.25 (um per pixel at full size)";

}  // namespace

std::unique_ptr<Slide> Slide::Open(const fs::path& path, SlideReader reader) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw core::SlideError("no such slide: " + path.string(), "check the path");
  }
  const bool folder = fs::is_directory(path, ignored);
  if (folder || ::access(path.c_str(), R_OK) != 0) {
    throw core::SlideError(
        "cannot read " + path.string() + ": " + std::strerror(folder ? EISDIR : errno),
        "give the path of a slide file that you may read");
  }
  if (!fs::is_regular_file(path, ignored)) {
    throw core::SlideError(path.string() + " is no regular file", "give the path of a slide file");
  }
  if (reader != SlideReader::kOpenSlide) {
    std::string why_not;
    if (auto slide = TiffSlide::Open(path, &why_not)) return slide;
    if (reader == SlideReader::kTiff) {
      throw core::SlideError(
          fmt::format("the TIFF reader does not read {}: {}", path.string(), why_not),
          "let OpenSlide read it");
    }
  }
  return std::make_unique<OpenSlideSlide>(path);
}

void Slide::FinishGeometry() {
  for (const SlideLevel& level : geometry_.levels) {
    if (level.width <= 0 || level.height <= 0 || level.downsample <= 0) geometry_.levels.clear();
  }
  if (geometry_.levels.empty()) {
    throw core::SlideError(path_.string() + " has no pixels", "the file is damaged");
  }
  geometry_.width = geometry_.levels[0].width;
  geometry_.height = geometry_.levels[0].height;
  geometry_.mpp = FindMpp(properties_, &warnings_);
  const auto vendor = properties_.find("openslide.vendor");
  if (vendor != properties_.end()) vendor_ = vendor->second;
  objective_power_ = PropertyNumber(properties_, "openslide.objective-power");

  geometry_.bounds = {0, 0, geometry_.width, geometry_.height};
  const auto bound = [&](const char* name) {
    const double value = PropertyNumber(properties_, std::string("openslide.bounds-") + name);
    return std::llround(std::clamp(value, -1.0, 1e12));
  };
  const int64_t x = bound("x"), y = bound("y"), width = bound("width"), height = bound("height");
  if (width > 0 && height > 0 && x >= 0 && y >= 0 && x < geometry_.width && y < geometry_.height) {
    geometry_.bounds = {x, y, std::min(width, geometry_.width - x),
                        std::min(height, geometry_.height - y)};
  }
}

void Slide::OverrideMpp(double mpp) {
  geometry_.mpp = {};
  geometry_.mpp.x = geometry_.mpp.y = mpp;
  geometry_.mpp.source = "override";
}

const SlideMpp& Slide::RequireMpp() const {
  const SlideMpp& mpp = geometry_.mpp;
  if (mpp.known()) return mpp;
  if (!mpp.doubt.empty()) {
    throw core::SlideError(fmt::format("{} has no believable scale: {}", path_.string(), mpp.doubt),
                           kOverrideHint);
  }
  throw core::SlideError(path_.string() + " does not say its scale (no mpp)", kOverrideHint);
}

bool Slide::StoresJpeg(int) const { return false; }
int64_t Slide::StoredBytes(int, int64_t) const { return 0; }
bool Slide::AppendJpeg(int, int64_t, core::Bytes*, std::string* error) const {
  if (error) *error = "the level does not store JPEG tiles that can be copied";
  return false;
}

core::Image Slide::ReadRegion(int level, int64_t x, int64_t y, int width, int height) const {
  const SlideLevel& l = this->level(level);
  core::Image image(width, height, 3, 255);
  const int64_t left = std::max<int64_t>(x, 0), top = std::max<int64_t>(y, 0);
  const int64_t right = std::min(x + width, l.width), bottom = std::min(y + height, l.height);
  if (left >= right || top >= bottom) return image;
  std::unique_ptr<TileDecoder> decoder;
  {
    const std::lock_guard lock(spare_mutex_);
    decoder = std::move(spare_);
  }
  if (!decoder) decoder = NewDecoder();
  core::Image tile(l.tile_width, l.tile_height, 3);
  for (int64_t row = top / l.tile_height; row * l.tile_height < bottom; ++row) {
    for (int64_t column = left / l.tile_width; column * l.tile_width < right; ++column) {
      std::string error;
      if (!decoder->Decode(level, row * l.columns() + column, 1, tile.pixels.data(),
                           static_cast<ptrdiff_t>(tile.stride()), &error)) {
        throw core::SlideError(
            fmt::format("cannot read {} at {},{} of level {}: {}", path_.string(),
                        column * l.tile_width, row * l.tile_height, level, error),
            "the file is damaged there; fetch it again or leave the part out (--roi)");
      }
      const int64_t x0 = std::max(left, column * l.tile_width);
      const int64_t x1 = std::min(right, (column + 1) * l.tile_width);
      const int64_t y1 = std::min(bottom, (row + 1) * l.tile_height);
      for (int64_t v = std::max(top, row * l.tile_height); v < y1; ++v) {
        std::copy_n(tile.at(static_cast<int>(x0 - column * l.tile_width),
                            static_cast<int>(v - row * l.tile_height)),
                    (x1 - x0) * 3, image.at(static_cast<int>(x0 - x), static_cast<int>(v - y)));
      }
    }
  }
  const std::lock_guard lock(spare_mutex_);
  spare_ = std::move(decoder);
  return image;
}

}  // namespace eosin::tiling
