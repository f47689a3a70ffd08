// SPDX-License-Identifier: Apache-2.0
// Made H&E slides with exact gland masks: for the demo, for tests and to try a pipeline before any
// data has arrived. They look like H&E; they are not tissue, and no result on them says anything
// about tissue.
//
// MakeSlides writes below `out`
//   slides/<stem>.tif          pyramidal tiled JPEG TIFF (levels 1, 4, 16) that OpenSlide opens as
//                              vendor aperio with mpp and objective power; stem = <patient>-<slide>
//   masks/<stem>.png           truth of the whole slide, 1 px = kMaskDownsample level-0 px
//   regions/images/<name>.jpg  annotated regions at level 0; name = <stem>_r<k>
//   regions/masks/<name>.png   their truth
//   regions/regions.csv        name,patient_id
//   slides.csv                 slide,patient_id
// Truth: 0 = outside glands (background, stroma), 1 = gland (epithelium and lumen, as in GlaS).
//
// Slide k depends on seed, k, its patient and the geometry alone: not on threads, nor on how many
// slides there are. Files are byte-identical at any thread count. Memory: a band of tiles and the
// mask a slide.
#pragma once

#include <cstdint>
#include <filesystem>

#include "core/config/option_set.h"

namespace eosin::tiling {

inline constexpr int kMaskDownsample = 4;

struct SynthOptions {
  int64_t slides = 6;
  int64_t width = 4096;   // level-0 px
  int64_t height = 4096;  // level-0 px
  double mpp = 0.5;       // um/px at level 0; shapes are made in um
  double power = 20;      // objective power written to the slide
  int64_t patients = 0;   // slides are dealt to patients in turn; 0 = one a slide
  int64_t regions_per_slide = 4;
  int64_t region_size = 512;  // level-0 px
  bool pen = true;            // a pen mark on every third slide
  int64_t seed = 0;
  int64_t threads = 0;  // 0 = all cores

  void Bind(core::OptionSet& set);  // keys synth.*
  void Check() const;               // throws ConfigError
};

// Throws ConfigError, MachineError (no space, no permission), DataError when a slide has no room
// for its regions, InterruptedError after SIGINT (finished slides stay).
void MakeSlides(const SynthOptions& options, const std::filesystem::path& out);

}  // namespace eosin::tiling
