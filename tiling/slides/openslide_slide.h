// SPDX-License-Identifier: Apache-2.0
// A slide read through OpenSlide: everything the TIFF reader leaves alone (JPEG 2000, NDPI, MRXS,
// SCN, BIF, VMS, DICOM with OpenSlide 4, ...). Its levels are cut into blocks, whole numbers of the
// slide's own tiles of 512-1024 px a side where OpenSlide names them, else of 512 px, so that a
// walk over blocks decodes each of the slide's tiles about once.
//
// Pixels are OpenSlide's, blended on white. Levels above 0 whose downsample is no whole number are
// what OpenSlide makes of them: a block starts at the nearest level-0 pixel, at most half a level-0
// pixel off.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tiling/slides/slide.h"

namespace eosin::tiling {

class OpenSlideSlide : public Slide {
 public:
  // SlideError when OpenSlide is not installed, does not know the file or cannot open it.
  explicit OpenSlideSlide(const fs::path& path);

  std::unique_ptr<TileDecoder> NewDecoder() const override;
  std::vector<std::string> associated_names() const override { return associated_names_; }
  core::Image ReadAssociated(const std::string& name) const override;

 private:
  std::vector<std::string> associated_names_;
};

// "4.0.1 from /path/libopenslide.so.1", or why there is none.
std::string OpenSlideVersion();

// A label, macro or thumbnail through OpenSlide. SlideError.
core::Image ReadOpenSlideAssociated(const fs::path& path, const std::string& name);

}  // namespace eosin::tiling
