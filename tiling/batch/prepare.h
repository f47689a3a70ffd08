// SPDX-License-Identifier: Apache-2.0
// All that is known of a slide before its tiles are read: overview, tissue, annotations and plan.
#pragma once

#include <optional>

#include "tiling/annotations/label_map.h"
#include "tiling/batch/preview.h"
#include "tiling/batch/slide_list.h"
#include "tiling/extract/plan.h"
#include "tiling/slides/slide.h"
#include "tiling/tissue/overview.h"
#include "tiling/tissue/tissue.h"

namespace eosin::tiling {

struct Prepared {
  Overview overview;
  std::optional<TissueMask> tissue;
  ClassMap classes;
  std::optional<LabelMap> labels;
  Plan plan;

  const TissueMask* mask() const { return tissue ? &*tissue : nullptr; }
  // quality: tiles rejected by their scores, beside the plan's own.
  Previews Draw(const std::vector<PlannedTile>& kept, const std::vector<RejectedTile>& quality,
                const std::vector<PlannedTile>& bad) const;
  int64_t PictureBytes() const;  // of all pictures, about
};

// Overview and tissue alone, by the same options. DataError for a mask file.
void FindOverview(const Slide& slide, const SlideEntry& entry, const TileOptions& options,
                  int threads, Prepared* prepared);

// The slide's scale must be known. Where no tissue is looked for, the overview only serves the
// pictures: then it comes from a small level, else from the slide's thumbnail, else it is blank.
// SlideError when there is no tile to make, DataError for its mask and annotations.
Prepared Prepare(const Slide& slide, const SlideEntry& entry, const ClassMap& classes,
                 const TileOptions& options, int threads);

}  // namespace eosin::tiling
