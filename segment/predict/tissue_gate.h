// SPDX-License-Identifier: Apache-2.0
// What of a label map is tissue. The network runs on whole cells (predict_plan.h); what of them
// lies outside the tissue or the scanned bounds is taken back, so that label map, outlines,
// pictures and areas are of the same pixels.
#pragma once

#include <cstdint>
#include <vector>

#include "segment/predict/blender.h"
#include "segment/predict/predict_plan.h"
#include "tiling/tissue/tissue.h"

namespace eosin::segment {

class TissueGate {
 public:
  // Borrows tissue; null: everywhere inside the slide's bounds.
  TissueGate(const tiling::TissueMask* tissue, const tiling::SlideGeometry& slide,
             const PredictPlan& plan);
  // Pixels whose centres lie outside (at the mask's own resolution) become kNotPredicted, their
  // probabilities 0. The raster's last column and row may reach beyond the slide by up to half a
  // pixel: they are judged by the slide's edge.
  void Apply(Band* band);

 private:
  void FindSpans(int64_t mask_row);

  const tiling::TissueMask* tissue_;
  const double downsample_;
  Span x_, y_;  // of the bounds
  int64_t mask_row_ = -1;
  std::vector<Span> spans_;  // pixels that are tissue in rows of the raster over mask_row_
};

}  // namespace eosin::segment
