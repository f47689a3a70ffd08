// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/slide.h"

#include <fmt/format.h>
#include <openslide.h>
#include <tiffio.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "core/base/error.h"

namespace eosin::tiling {
namespace {

constexpr double kFinestMpp = 0.05;
constexpr double kCoarsestMpp = 20;
constexpr const char* kOverrideHint =
    "if you know the scanner's scale, give it: --mpp-override 0.25 (um per pixel at full size)";

double Number(const std::map<std::string, std::string>& properties, const std::string& key) {
  const auto found = properties.find(key);
  if (found == properties.end()) return 0;
  char* end = nullptr;
  const double value = std::strtod(found->second.c_str(), &end);
  return end == found->second.c_str() || !std::isfinite(value) ? 0 : value;
}

std::string Text(const std::map<std::string, std::string>& properties, const std::string& key) {
  const auto found = properties.find(key);
  return found == properties.end() ? "" : found->second;
}

// um per pixel from a TIFF resolution, 0 when there is none.
double TiffMpp(const std::map<std::string, std::string>& properties, const char* axis) {
  const double resolution = Number(properties, fmt::format("tiff.{}Resolution", axis));
  const std::string unit = Text(properties, "tiff.ResolutionUnit");
  if (resolution <= 0) return 0;
  if (unit == "centimeter") return 10000.0 / resolution;
  if (unit == "inch") return 25400.0 / resolution;
  return 0;
}

}  // namespace

double SlideMpp::mean() const { return std::sqrt(x * y); }

SlideMpp FindMpp(const std::map<std::string, std::string>& properties) {
  SlideMpp mpp;
  auto take = [&](double x, double y, const std::string& source) {
    if (mpp.known() || (x <= 0 && y <= 0)) return;
    if (x <= 0) x = y;
    if (y <= 0) y = x;
    auto sane = [](double value) { return value >= kFinestMpp && value <= kCoarsestMpp; };
    if (!sane(x) || !sane(y)) {
      if (mpp.doubt.empty()) mpp.doubt = fmt::format("{} says {:.4g} um/px", source, x);
    } else if (std::max(x, y) > 1.1 * std::min(x, y)) {
      mpp.doubt = fmt::format("{} says {:.4g} x {:.4g} um/px", source, x, y);
    } else {
      mpp.x = x;
      mpp.y = y;
      mpp.source = source;
    }
  };
  take(Number(properties, OPENSLIDE_PROPERTY_NAME_MPP_X),
       Number(properties, OPENSLIDE_PROPERTY_NAME_MPP_Y), OPENSLIDE_PROPERTY_NAME_MPP_X);
  take(TiffMpp(properties, "X"), TiffMpp(properties, "Y"), "tiff.XResolution");
  return mpp;
}

void Slide::Close::operator()(openslide_t* handle) const { openslide_close(handle); }

Slide Slide::Open(const fs::path& path) {
  Slide slide;
  slide.path_ = path;
  slide.OpenHandle();
  slide.ReadProperties();
  slide.ReadGeometry();
  return slide;
}

void Slide::OpenHandle() {
  std::error_code ignored;
  if (!fs::exists(path_, ignored)) {
    throw core::SlideError("no such slide: " + path_.string(), "check the path");
  }
  if (fs::is_directory(path_, ignored) || ::access(path_.c_str(), R_OK) != 0) {
    throw core::SlideError("cannot read " + path_.string() + ": " +
                               std::strerror(fs::is_directory(path_, ignored) ? EISDIR : errno),
                           "give the path of a slide file that you may read");
  }
  // OpenSlide reports what libtiff says; libtiff need not print it as well.
  static std::once_flag once;
  std::call_once(once, [] {
    TIFFSetErrorHandler(nullptr);
    TIFFSetWarningHandler(nullptr);
  });
  handle_.reset(openslide_open(path_.c_str()));
  if (!handle_) {
    throw core::SlideError(
        "cannot open " + path_.string() + ": OpenSlide does not know this kind of file",
        "is it a whole-slide image, whole and not truncated? For MRXS the folder beside it is "
        "needed");
  }
  if (const char* error = openslide_get_error(handle_.get())) {
    throw core::SlideError("cannot open " + path_.string() + ": " + error,
                           "the file is damaged or was not copied whole; fetch it again");
  }
}

void Slide::ReadProperties() {
  for (const char* const* name = openslide_get_property_names(handle_.get()); name && *name;
       ++name) {
    const char* value = openslide_get_property_value(handle_.get(), *name);
    if (value) properties_[*name] = value;
  }
  vendor_ = Text(properties_, OPENSLIDE_PROPERTY_NAME_VENDOR);
  objective_power_ = Number(properties_, OPENSLIDE_PROPERTY_NAME_OBJECTIVE_POWER);
}

void Slide::ReadGeometry() {
  const int count = openslide_get_level_count(handle_.get());
  for (int level = 0; level < count; ++level) {
    SlideLevel entry;
    openslide_get_level_dimensions(handle_.get(), level, &entry.width, &entry.height);
    entry.downsample = openslide_get_level_downsample(handle_.get(), level);
    const auto side = [&](const char* name) {
      return Number(properties_, fmt::format("openslide.level[{}].tile-{}", level, name));
    };
    const bool smaller_than_tile = static_cast<double>(entry.width) < side("width") ||
                                   static_cast<double>(entry.height) < side("height");
    if (smaller_than_tile && level > 0) break;
    misread_ = smaller_than_tile;
    geometry_.levels.push_back(entry);
  }
  if (geometry_.levels.empty() || geometry_.levels[0].width <= 0 ||
      geometry_.levels[0].height <= 0) {
    throw core::SlideError(path_.string() + " has no pixels", "the file is damaged");
  }
  geometry_.width = geometry_.levels[0].width;
  geometry_.height = geometry_.levels[0].height;
  geometry_.mpp = FindMpp(properties_);

  const auto bound = [&](const char* key) {
    return static_cast<int64_t>(std::llround(Number(properties_, key)));
  };
  const int64_t x = bound(OPENSLIDE_PROPERTY_NAME_BOUNDS_X);
  const int64_t y = bound(OPENSLIDE_PROPERTY_NAME_BOUNDS_Y);
  const int64_t width = bound(OPENSLIDE_PROPERTY_NAME_BOUNDS_WIDTH);
  const int64_t height = bound(OPENSLIDE_PROPERTY_NAME_BOUNDS_HEIGHT);
  geometry_.bounds = {0, 0, geometry_.width, geometry_.height};
  if (width > 0 && height > 0 && x >= 0 && y >= 0 && x < geometry_.width && y < geometry_.height) {
    geometry_.bounds = {x, y, std::min(width, geometry_.width - x),
                        std::min(height, geometry_.height - y)};
  }
}

std::vector<std::string> Slide::associated_names() const {
  std::vector<std::string> names;
  for (const char* const* name = openslide_get_associated_image_names(handle_.get()); name && *name;
       ++name) {
    names.push_back(*name);
  }
  return names;
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

core::Image Slide::ReadRegion(int64_t x0, int64_t y0, int level, int width, int height) {
  if (!handle_) OpenHandle();  // the last attempt to reopen failed
  const size_t count = static_cast<size_t>(width) * static_cast<size_t>(height);
  std::vector<uint32_t> argb(count);
  openslide_read_region(handle_.get(), argb.data(), x0, y0, level, width, height);
  if (const char* error = openslide_get_error(handle_.get())) {
    const std::string reason = error;
    handle_.reset();
    try {
      OpenHandle();
    } catch (const core::SlideError&) {
      handle_.reset();  // the next read tries again and tells why
    }
    throw core::SlideError(
        fmt::format("cannot read {} at {},{}: {}", path_.string(), x0, y0, reason),
        "the file is damaged there; fetch it again or leave the part out (--roi)");
  }
  if (misread_) {
    throw core::SlideError(
        fmt::format("{} ({} x {} px) is smaller than one of its TIFF tiles, which "
                    "OpenSlide misreads",
                    path_.string(), geometry_.width, geometry_.height),
        "save the picture again with smaller tiles");
  }
  core::Image image(width, height, 3);
  for (size_t i = 0; i < count; ++i) {
    // Premultiplied: adding white's share is the blend.
    const uint32_t p = argb[i];
    const uint32_t white = 255 - (p >> 24);
    image.pixels[3 * i] = static_cast<uint8_t>(((p >> 16) & 255) + white);
    image.pixels[3 * i + 1] = static_cast<uint8_t>(((p >> 8) & 255) + white);
    image.pixels[3 * i + 2] = static_cast<uint8_t>((p & 255) + white);
  }
  return image;
}

const std::vector<std::string>& SlideExtensions() {
  static const std::vector<std::string> kExtensions = {
      ".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide"};
  return kExtensions;
}

}  // namespace eosin::tiling
