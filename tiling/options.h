// SPDX-License-Identifier: Apache-2.0
// What the user asks of `eosin tile`: every field with its unit. Bound to flags, `--set` and TOML
// in one place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/option_set.h"
#include "tiling/tissue/quality.h"
#include "tiling/tissue/tissue.h"

namespace eosin::tiling {

// What the user said of one slide and its store repeats.
struct SlideFacts {
  std::string class_name;  // of the whole slide; empty: none
  int class_id = -1;
  std::string patient;
};

struct TileOptions {
  double mpp = 0;              // um per output pixel; 0: from magnification, else 0.5
  double magnification = 0;    // 10 / mpp in true microns: 20 = 0.5 um/px; 0: not given
  int64_t size = 0;            // output pixels; 0: 256, or the slide's with align = tiles
  int64_t stride = 0;          // output pixels; 0: size (no overlap)
  std::string align = "none";  // "none", or "tiles": the slide's own tiles, copied where JPEG
  // A TissueSettings::method, "none", or a mask: PNG, or a folder of <slide stem>.png.
  std::string tissue = "double-pass";
  TissueSettings tissue_settings;
  double min_tissue = 0.5;           // least tissue share of a tile
  std::vector<double> roi;           // x, y, width, height at level 0, four numbers a rectangle
  std::string classes;               // ClassMap::Parse; empty: all names of the batch, from 1
  std::string encoding = "jpeg";     // "jpeg", "png", "raw"
  int64_t jpeg_quality = 90;         // of tiles that are encoded; copied ones keep theirs
  std::string quality = "scores";    // "scores" or "none": quality/* in the store
  std::string stain = "statistics";  // "statistics" or "none": stain in the store
  QualityLimits limits;              // tiles over them are left out
  double mpp_override = 0;           // um per level-0 pixel; 0: the slide's own
  bool allow_upsample = false;       // finer than level 0 by more than 5 %

  void Bind(core::OptionSet& set);
  void Check() const;  // throws ConfigError
  double TargetMpp() const;
  int64_t Size() const { return size > 0 ? size : 256; }  // without alignment
  int64_t Stride() const { return stride > 0 ? stride : Size(); }
  bool AlignsToTiles() const { return align == "tiles"; }
  bool UsesMaskFile() const;
  bool NeedsScores() const { return quality != "none" || limits.Any(); }

  // JSON of what changes a store's content: equal text, equal store. The hashes are SHA-256 of the
  // mask and annotation files, empty without one.
  std::string Settings(const std::string& mask_hash, const std::string& annotation_hash,
                       const SlideFacts& facts = {}) const;
};

}  // namespace eosin::tiling
