// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/openslide_slide.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "tiling/slides/mpp.h"
#include "tiling/slides/openslide_api.h"
#include "tiling/slides/shrink.h"

namespace eosin::tiling {
namespace {

constexpr int kBlock = 512;
constexpr int kLargestBlock = 1024;
constexpr int64_t kLargestAssociated = int64_t{1} << 28;  // pixels

struct Close {
  void operator()(openslide_t* handle) const { OpenSlide().close(handle); }
};
using Handle = std::unique_ptr<openslide_t, Close>;

Handle OpenHandle(const fs::path& path) {
  const OpenSlideApi& api = OpenSlide();
  Handle handle(api.open(path.c_str()));
  if (!handle) {
    throw core::SlideError(
        fmt::format("cannot open {}: OpenSlide {} does not know this kind of file", path.string(),
                    api.version),
        "is it a whole-slide image, whole and not truncated? For MRXS the folder beside it is "
        "needed; DICOM needs OpenSlide 4");
  }
  if (const char* error = api.get_error(handle.get())) {
    throw core::SlideError(fmt::format("cannot open {}: {}", path.string(), error),
                           "the file is damaged or was not copied whole; fetch it again");
  }
  return handle;
}

// Premultiplied ARGB on white.
void BlendOnWhite(const std::vector<uint32_t>& argb, int width, int height, uint8_t* rgb,
                  ptrdiff_t stride) {
  for (int y = 0; y < height; ++y) {
    const uint32_t* in = &argb[static_cast<size_t>(y) * static_cast<size_t>(width)];
    uint8_t* out = rgb + y * stride;
    for (int x = 0; x < width; ++x, out += 3) {
      const uint32_t p = in[x];
      const uint32_t white = 255 - (p >> 24);
      out[0] = static_cast<uint8_t>(((p >> 16) & 255) + white);
      out[1] = static_cast<uint8_t>(((p >> 8) & 255) + white);
      out[2] = static_cast<uint8_t>((p & 255) + white);
    }
  }
}

// A handle is dead after its first error, so a decoder owns one and opens it again.
class OpenSlideDecoder : public TileDecoder {
 public:
  OpenSlideDecoder(fs::path path, std::vector<SlideLevel> levels)
      : path_(std::move(path)), levels_(std::move(levels)), handle_(OpenHandle(path_)) {}

  bool Decode(int level, int64_t index, int shrink, uint8_t* rgb, ptrdiff_t stride,
              std::string* error) override {
    const auto fail = [&](const std::string& why) {
      if (error) *error = why;
      return false;
    };
    if (level < 0 || level >= static_cast<int>(levels_.size())) return fail("no such level");
    const SlideLevel& l = levels_[static_cast<size_t>(level)];
    if (index < 0 || index >= l.tile_count()) return fail("no such tile");
    if (shrink != 1 && shrink != 2 && shrink != 4 && shrink != 8) return fail("cannot shrink so");
    const int64_t column = index % l.columns(), row = index / l.columns();
    try {
      if (!handle_) handle_ = OpenHandle(path_);
    } catch (const core::SlideError& failure) {
      return fail(failure.what());
    }
    argb_.resize(static_cast<size_t>(l.tile_width) * static_cast<size_t>(l.tile_height));
    const auto base = [&](int64_t pixel) {
      return std::llround(static_cast<double>(pixel) * l.downsample);
    };
    const OpenSlideApi& api = OpenSlide();
    api.read_region(handle_.get(), argb_.data(), base(column * l.tile_width),
                    base(row * l.tile_height), level, l.tile_width, l.tile_height);
    if (const char* reason = api.get_error(handle_.get())) {
      const std::string why = reason;
      handle_.reset();
      return fail(why);
    }
    if (shrink == 1) {
      BlendOnWhite(argb_, l.tile_width, l.tile_height, rgb, stride);
      return true;
    }
    full_.resize(argb_.size() * 3);
    BlendOnWhite(argb_, l.tile_width, l.tile_height, full_.data(), 3 * l.tile_width);
    ShrinkRgb(full_.data(), l.tile_width, l.tile_height, shrink, rgb, stride);
    return true;
  }

 private:
  const fs::path path_;
  const std::vector<SlideLevel> levels_;
  Handle handle_;
  std::vector<uint32_t> argb_;
  std::vector<uint8_t> full_;
};

// A whole number of the slide's own tiles, near 512; a multiple of 8 for shrinking.
int BlockSide(double own) {
  if (own >= 1 && own <= kLargestBlock && own == std::floor(own)) {
    const int tile = static_cast<int>(own);
    for (int side = tile; side <= kLargestBlock; side += tile) {
      if (side >= kBlock && side % 8 == 0) return side;
    }
  }
  return kBlock;
}

}  // namespace

OpenSlideSlide::OpenSlideSlide(const fs::path& path) {
  const OpenSlideApi& api = OpenSlide();
  const Handle handle = OpenHandle(path);
  path_ = path;
  reader_ = "openslide " + api.version;
  for (const char* const* name = api.get_property_names(handle.get()); name && *name; ++name) {
    if (const char* value = api.get_property_value(handle.get(), *name)) properties_[*name] = value;
  }
  for (const char* const* name = api.get_associated_image_names(handle.get()); name && *name;
       ++name) {
    associated_names_.push_back(*name);
  }
  std::sort(associated_names_.begin(), associated_names_.end());

  const int count = api.get_level_count(handle.get());
  for (int i = 0; i < count; ++i) {
    SlideLevel level;
    api.get_level_dimensions(handle.get(), i, &level.width, &level.height);
    level.downsample = api.get_level_downsample(handle.get(), i);
    const auto own = [&](const char* side) {
      return PropertyNumber(properties_, fmt::format("openslide.level[{}].tile-{}", i, side));
    };
    const double tile_width = own("width"), tile_height = own("height");
    // OpenSlide 3 over libtiff 4.5 returns wrong pixels for a level that is smaller than one of its
    // own TIFF tiles.
    if (api.major < 4 && (static_cast<double>(level.width) < tile_width ||
                          static_cast<double>(level.height) < tile_height)) {
      if (i == 0) {
        throw core::SlideError(
            fmt::format("{} ({} x {} px) is smaller than one of its TIFF tiles, which OpenSlide {} "
                        "misreads",
                        path.string(), level.width, level.height, api.version),
            "save the picture again with smaller tiles, or use OpenSlide 4");
      }
      warnings_.push_back(fmt::format(
          "levels from {} x {} px down are left out: OpenSlide {} misreads levels smaller than one "
          "of their tiles",
          level.width, level.height, api.version));
      break;
    }
    level.tile_width = BlockSide(tile_width);
    level.tile_height = BlockSide(tile_height);
    geometry_.levels.push_back(level);
  }
  FinishGeometry();
}

std::unique_ptr<TileDecoder> OpenSlideSlide::NewDecoder() const {
  return std::make_unique<OpenSlideDecoder>(path_, geometry_.levels);
}

core::Image OpenSlideSlide::ReadAssociated(const std::string& name) const {
  return ReadOpenSlideAssociated(path_, name);
}

core::Image ReadOpenSlideAssociated(const fs::path& path, const std::string& name) {
  const OpenSlideApi& api = OpenSlide();
  const Handle handle = OpenHandle(path);
  int64_t width = 0, height = 0;
  api.get_associated_image_dimensions(handle.get(), name.c_str(), &width, &height);
  if (width <= 0 || height <= 0) {
    throw core::SlideError(fmt::format("{} has no picture named {}", path.string(), name),
                           "eosin inspect lists the other pictures of a slide");
  }
  if (width > kLargestAssociated / height) {
    throw core::SlideError(
        fmt::format("the {} of {} is too large ({} x {} px)", name, path.string(), width, height),
        "the file is damaged");
  }
  std::vector<uint32_t> argb(static_cast<size_t>(width) * static_cast<size_t>(height));
  api.read_associated_image(handle.get(), name.c_str(), argb.data());
  if (const char* error = api.get_error(handle.get())) {
    throw core::SlideError(fmt::format("cannot read the {} of {}: {}", name, path.string(), error),
                           "the file is damaged there; the rest of the slide may be readable");
  }
  core::Image image(static_cast<int>(width), static_cast<int>(height), 3);
  BlendOnWhite(argb, image.width, image.height, image.pixels.data(),
               static_cast<ptrdiff_t>(image.stride()));
  return image;
}

std::string OpenSlideVersion() {
  try {
    const OpenSlideApi& api = OpenSlide();
    return fmt::format("{} from {}", api.version, api.library);
  } catch (const core::SlideError& error) {
    return fmt::format("none: {}", error.what());
  }
}

}  // namespace eosin::tiling
