// SPDX-License-Identifier: Apache-2.0
// What the user asks of `eosin predict`.
#pragma once

#include <cstdint>
#include <string>

#include "core/config/option_set.h"
#include "tiling/options.h"
#include "tiling/tissue/tissue.h"

namespace eosin::segment {

struct PredictOptions {
  double mpp = 0;           // um per label-map pixel; 0: the model's
  double mpp_override = 0;  // um per level-0 pixel; 0: the slide's own
  bool allow_upsample = false;

  int64_t window = 0;              // label-map pixels a side; 0: the training crops'
  double overlap = 0.5;            // share of a window that its neighbour covers too
  std::string blend = "gaussian";  // BlendNames()
  double shift = 0;                // of the grid of windows, in windows
  bool tta = false;                // mean over the eight flips and quarter turns
  int64_t batch = 8;               // windows a pass

  // A TissueSettings::method, "none", or a mask: PNG, or a folder of <slide stem>.png. Pictures are
  // predicted whole unless a mask is named.
  std::string tissue = "double-pass";
  tiling::TissueSettings tissue_settings;

  bool probabilities = false;
  bool geojson = true;
  bool overlay = true;
  bool exact_outlines = false;
  double min_area_um2 = 0;       // regions below get no polygon
  bool subtract_bounds = false;  // GeoJSON relative to the scanned bounds

  void Bind(core::OptionSet& set);
  void Check() const;  // ConfigError
  tiling::TileOptions ForTissue() const;
};

}  // namespace eosin::segment
