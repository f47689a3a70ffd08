// SPDX-License-Identifier: Apache-2.0
// Where the tissue is: a mask over the whole slide and the tissue share of any rectangle.
//
// Methods:
//   double-pass     our default: Otsu (IEEE Trans. SMC 9:62, 1979) and a second pass below the
//                   threshold for faint tissue (after Cancers 17:2918, 2025), with pen, scanner
//                   black and stained background kept out (double_pass.h)
//   otsu            Otsu on the HSV saturation, nothing else
//   clam, clam-biopsy, clam-resection, clam-tcga
//                   CLAM's presets (saturation, median, fixed threshold, closing, contour and hole
//                   areas; mahmoodlab/CLAM presets/*.csv)
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "core/image/image.h"
#include "tiling/tissue/overview.h"

namespace eosin::tiling {

// Values of a tissue mask.
enum : uint8_t { kBackground = 0, kTissue = 255 };

const std::vector<std::string>& TissueMethods();

struct TissueSettings {
  double overview_mpp = 8;       // um/px the mask is made at
  double min_tissue_um2 = 5000;  // smaller specks are dropped
  double min_hole_um2 = 20000;   // smaller holes are filled
  bool remove_pen = true;        // double-pass: pen marks are not tissue

  void Bind(core::OptionSet& set);  // keys tissue_mpp, min_tissue_um2, min_hole_um2, remove_pen
  void Check() const;               // ConfigError
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
  bool HasTissue() const { return has_tissue_; }
  // Tissue share, 0-1, of a level-0 rectangle, exact to fractions of mask pixels.
  double Share(double x, double y, double width, double height) const;

 private:
  static constexpr int kStep = 8;
  void Integrate();
  int64_t Count(int x, int y) const;          // tissue pixels above and left of a corner
  double Integral(double x, double y) const;  // the same, bilinear between corners

  core::Image mask_;
  double scale_x_ = 1, scale_y_ = 1;
  bool has_tissue_ = false;
  // Count() at every kStep-th column of all rows, and at every kStep-th row of all columns: a full
  // integral image would weigh four times the mask, these weigh as much as it.
  std::vector<uint32_t> columns_, rows_;
};

// mpp: um per pixel of `overview.image`. Pixels that could not be read are neither: each patch of
// them takes what most of its border is. Result: kBackground or kTissue, the overview's size. The
// areas of the settings are double-pass's; the other methods are left as their authors run them.
// Double-pass works on halves (or less) of pictures above 2.5 million pixels (a slide at 8 um/px
// has 1 to 10), so that its time stays bounded. ConfigError when `method` is none of
// TissueMethods().
core::Image SegmentTissue(const Overview& overview, double mpp, const std::string& method,
                          const TissueSettings& settings = {});

// A mask picture of the whole slide, any size of the slide's shape (within 2 %). DataError.
TissueMask ReadTissueMask(const std::filesystem::path& path, int64_t slide_width,
                          int64_t slide_height);

}  // namespace eosin::tiling
