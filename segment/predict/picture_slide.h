// SPDX-License-Identifier: Apache-2.0
// A JPEG or PNG as a slide of one level, decoded as a whole into memory (3 bytes a pixel, at most
// 2^28 pixels). It never says its scale: OverrideMpp must.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/image/image.h"
#include "tiling/slides/slide.h"

namespace eosin::segment {

class PictureSlide : public tiling::Slide {
 public:
  // DataError when it cannot be read.
  explicit PictureSlide(const std::filesystem::path& path);

  std::unique_ptr<tiling::TileDecoder> NewDecoder() const override;
  std::vector<std::string> associated_names() const override { return {}; }
  core::Image ReadAssociated(const std::string& name) const override;

 private:
  core::Image image_;
};

// By the file's extension.
bool IsPicture(const std::filesystem::path& path);
std::unique_ptr<tiling::Slide> OpenSlideOrPicture(const std::filesystem::path& path);

}  // namespace eosin::segment
