// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/predict_options.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "segment/predict/blend_weights.h"

namespace eosin::segment {

void PredictOptions::Bind(core::OptionSet& set) {
  set.Add(
      "mpp", &mpp,
      {.doc = "scale of the label map; 0 = the model's", .unit = "um/px", .min = 0, .max = 100});
  set.Add("mpp_override", &mpp_override,
          {.doc = "the slides' own scale at full size; 0 = what their files say",
           .unit = "um/px",
           .min = 0,
           .max = 100});
  set.Add("allow_upsample", &allow_upsample, {.doc = "predict slides coarser than the model"});
  set.Add("window", &window,
          {.doc = "side of a window; 0 = the training crops'",
           .unit = "px of the label map",
           .min = 0,
           .max = 4096});
  set.Add("overlap", &overlap,
          {.doc = "share of a window that its neighbour covers too", .min = 0, .max = 0.9});
  set.Add("blend", &blend, {.doc = "weights of overlapping windows", .choices = BlendNames()});
  set.Add("shift", &shift,
          {.doc = "moves the grid of windows up and left, in windows: to test for seams",
           .min = 0,
           .max = 1});
  set.Add("tta", &tta, {.doc = "mean over the eight flips and quarter turns; eight passes"});
  set.Add("batch", &batch, {.doc = "windows a pass of the network", .min = 1, .max = 4096});
  set.Add(
      "tissue", &tissue,
      {.doc = "double-pass, otsu, clam, clam-biopsy, clam-resection, clam-tcga, none, or a mask "
              "PNG of the whole slide, or a folder of <slide>.png"});
  tissue_settings.Bind(set);
  set.Add("probabilities", &probabilities, {.doc = "also write a plane of probabilities a class"});
  set.Add("geojson", &geojson, {.doc = "write regions as GeoJSON"});
  set.Add("overlay", &overlay, {.doc = "write a picture for people"});
  set.Add("exact_outlines", &exact_outlines, {.doc = "polygons along the pixels' own edges"});
  set.Add("min_area_um2", &min_area_um2,
          {.doc = "smaller regions get no polygon", .unit = "um2", .min = 0});
  set.Add("subtract_bounds", &subtract_bounds,
          {.doc = "GeoJSON relative to the scanned bounds, as QuPath shows slides that have them"});
}

void PredictOptions::Check() const {
  ForTissue().Check();
  if (window % 8 != 0 || (window > 0 && window < 32)) {
    throw core::ConfigError(
        fmt::format("window = {} is not a multiple of 8 from 32 on", window),
        "use for example 256 or 512, or leave it out for the size of the training crops");
  }
}

tiling::TileOptions PredictOptions::ForTissue() const {
  tiling::TileOptions tile;
  tile.tissue = tissue;
  tile.tissue_settings = tissue_settings;
  tile.mpp_override = mpp_override;
  return tile;
}

}  // namespace eosin::segment
