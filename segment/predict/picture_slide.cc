// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/picture_slide.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/codec.h"
#include "core/image/picture_folder.h"
#include "tiling/slides/shrink.h"

namespace eosin::segment {
namespace {

constexpr int kTile = 256;

class PictureDecoder : public tiling::TileDecoder {
 public:
  explicit PictureDecoder(const core::Image& image) : image_(image) {}

  bool Decode(int, int64_t index, int shrink, uint8_t* rgb, ptrdiff_t stride,
              std::string*) override {
    const int64_t across = (image_.width + kTile - 1) / kTile;
    const auto left = static_cast<int>(index % across * kTile);
    const auto top = static_cast<int>(index / across * kTile);
    const int width = std::min(kTile, image_.width - left);
    const int height = std::min(kTile, image_.height - top);
    if (shrink == 1) {
      Copy(left, top, width, height, rgb, stride);
      return true;
    }
    full_.resize(size_t{3} * kTile * kTile);
    Copy(left, top, width, height, full_.data(), ptrdiff_t{3} * kTile);
    tiling::ShrinkRgb(full_.data(), kTile, kTile, shrink, rgb, stride);
    return true;
  }

 private:
  // White beyond the picture.
  void Copy(int left, int top, int width, int height, uint8_t* rgb, ptrdiff_t stride) const {
    for (int y = 0; y < kTile; ++y, rgb += stride) {
      const size_t have = y < height ? static_cast<size_t>(width) * 3 : 0;
      if (have > 0) std::memcpy(rgb, image_.at(left, top + y), have);
      std::memset(rgb + have, 255, size_t{3} * kTile - have);
    }
  }

  const core::Image& image_;
  std::vector<uint8_t> full_;
};

}  // namespace

PictureSlide::PictureSlide(const std::filesystem::path& path) : image_(core::ReadRgb(path)) {
  path_ = path;
  reader_ = "picture";
  vendor_ = "picture";
  tiling::SlideLevel level;
  level.width = image_.width;
  level.height = image_.height;
  level.tile_width = level.tile_height = kTile;
  geometry_.levels = {level};
  FinishGeometry();
}

std::unique_ptr<tiling::TileDecoder> PictureSlide::NewDecoder() const {
  return std::make_unique<PictureDecoder>(image_);
}

core::Image PictureSlide::ReadAssociated(const std::string& name) const {
  throw core::SlideError(path_.string() + " has no picture " + name, "it is a picture itself");
}

bool IsPicture(const std::filesystem::path& path) {
  const auto& known = core::PictureExtensions();
  return std::find(known.begin(), known.end(), core::Extension(path)) != known.end();
}

std::unique_ptr<tiling::Slide> OpenSlideOrPicture(const std::filesystem::path& path) {
  if (IsPicture(path)) return std::make_unique<PictureSlide>(path);
  return tiling::Slide::Open(path);
}

}  // namespace eosin::segment
