// SPDX-License-Identifier: Apache-2.0
// CLAM's tissue segmentation (Lu et al., Nat. Biomed. Eng. 5:555, 2021), after segmentTissue of
// mahmoodlab/CLAM, wsi_core/WholeSlideImage.py: HSV saturation, median, fixed threshold, closing by
// a square, contours and holes kept by area.
#pragma once

#include <opencv2/core.hpp>
#include <string>

namespace eosin::tiling {

struct ClamPreset {
  int saturation_threshold;    // sthresh, of 255
  int median;                  // mthresh, px
  int close;                   // px
  int tissue_area, hole_area;  // a_t, a_h: in squares of 512 level-0 px
  int max_holes;               // max_n_holes, a contour
};

// clam: the defaults of create_patches_fp.py; the others: presets/bwh_biopsy.csv,
// bwh_resection.csv and tcga.csv. `method` is one of TissueMethods() that starts with "clam".
ClamPreset FindClamPreset(const std::string& method);

// rgb: CV_8UC3, `scale` level-0 pixels a pixel. CLAM works on the level nearest below a downsample
// of 64; the overview is averaged to that. Result: 0 or 255, the size of rgb.
cv::Mat SegmentByClam(const cv::Mat& rgb, double scale, const ClamPreset& preset);

}  // namespace eosin::tiling
