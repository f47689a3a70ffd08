// SPDX-License-Identifier: Apache-2.0
// What the user asks of `eosin tile`: every field with its unit. Bound to flags, `--set` and TOML
// in one place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"

namespace eosin::tiling {

struct TileOptions {
  double mpp = 0;                 // um per output pixel; 0: from magnification, else 0.5
  double magnification = 0;       // 10 / mpp in true microns: 20 = 0.5 um/px; 0: not given
  int64_t size = 256;             // output pixels
  int64_t stride = 0;             // output pixels; 0: size (no overlap)
  std::string tissue = "otsu";    // "otsu", "none", or a mask: PNG, or a folder of <slide stem>.png
  double min_tissue = 0.5;        // least tissue share of a tile
  std::vector<double> roi;        // x, y, width, height at level 0, four numbers a rectangle
  std::string encoding = "jpeg";  // "jpeg", "png", "raw"
  int64_t quality = 90;           // of JPEG
  double mpp_override = 0;        // um per level-0 pixel; 0: the slide's own
  bool allow_upsample = false;    // finer than level 0 by more than 5 %

  void Bind(core::OptionSet& set);
  void Check() const;  // throws ConfigError
  double TargetMpp() const;
  int64_t Stride() const { return stride > 0 ? stride : size; }
  bool UsesMaskFile() const { return tissue != "otsu" && tissue != "none"; }

  // JSON of what changes a store's content: equal text, equal store. `mask_hash` is the SHA-256 of
  // the mask file, empty without one.
  std::string Settings(const std::string& mask_hash) const;
};

}  // namespace eosin::tiling
