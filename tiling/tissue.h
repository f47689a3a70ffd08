// SPDX-License-Identifier: Apache-2.0
// Where the tissue is: a mask over the whole slide and the tissue share of any rectangle.
//
// Otsu's threshold (IEEE Trans. SMC 9:62, 1979) on the HSV saturation of an overview at about
// 8 um/px, after a median, and a second pass below the threshold for tissue much fainter than the
// rest (double-pass, after Cancers 17:2918, 2025); then closing, specks dropped, small holes filled
// (lumina belong to the tissue; large holes do not). Glass alone has no two classes to split: where
// the two means differ by too little, the slide is all tissue or all background by its mean
// saturation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/image/image.h"

namespace eosin::tiling {

struct TissueSettings {
  double overview_mpp = 8;       // um/px
  int median = 5;                // px of the overview, odd
  double min_saturation = 12;    // of 255; paler is glass
  double max_threshold = 60;     // of 255; Otsu may not cut into stained tissue
  double min_separation = 14;    // of 255; means closer than this are one class
  double dark = 40;              // of 255; all channels below: scanner's black, not tissue
  double close_um = 40;          // diameter of the closing
  double min_tissue_um2 = 5000;  // smaller specks are dropped
  double min_hole_um2 = 20000;   // smaller holes are filled
};

class TissueMask {
 public:
  TissueMask() = default;
  // mask: 1 channel, nonzero = tissue, over level 0 of width x height.
  TissueMask(core::Image mask, int64_t slide_width, int64_t slide_height);
  // Pixels of `scale` level-0 pixels a side; beyond the mask there is no tissue.
  TissueMask(core::Image mask, double scale);

  const core::Image& mask() const { return mask_; }
  double scale_x() const { return scale_x_; }  // level-0 pixels per mask pixel
  double scale_y() const { return scale_y_; }
  bool HasTissue() const { return total_ > 0; }
  // Tissue share, 0-1, of a level-0 rectangle, exact to fractions of mask pixels.
  double Share(double x, double y, double width, double height) const;

 private:
  void Integrate();
  double Integral(double x, double y) const;  // mask pixels; bilinear between corners

  core::Image mask_;
  double scale_x_ = 1, scale_y_ = 1;
  int64_t total_ = 0;
  std::vector<int64_t> integral_;  // (height+1) x (width+1)
};

// overview_mpp: um per pixel of `overview`.
core::Image SegmentTissue(const core::Image& overview, double overview_mpp,
                          const TissueSettings& settings = {});

// A mask picture of the whole slide, any size of the slide's shape (within 2 %). DataError.
TissueMask ReadTissueMask(const std::filesystem::path& path, int64_t slide_width,
                          int64_t slide_height);

}  // namespace eosin::tiling
