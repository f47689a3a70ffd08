// SPDX-License-Identifier: Apache-2.0
// ASAP and ImageScope keep one ring a region: holes and the parts of a region in several parts are
// regions of their own. This puts them together again. Internal to this folder.
//
// The attribute Continues="1", which both programs pass over, marks what eosin itself wrote: the
// region is a further part (or, being negative, a hole) of the region before it. Programs drop it
// when they save; parts then become regions of their own with the same class, and holes are found
// by place, so masks stay what they were.
#pragma once

#include <string>
#include <vector>

#include "tiling/annotations/annotation_text.h"

namespace eosin::tiling {

inline constexpr char kContinues[] = "Continues";

struct FlatRegion {
  std::string name, class_of;
  Ring ring;
  size_t layer = 0;  // holes look for regions of their own layer only
  bool hole = false;
  bool continues = false;  // belongs to the region before it
  size_t place = 0;        // in the text
};

// A rectangle given by two opposite corners as four vertices; any other ring as it is.
Ring RectangleOf(Ring ring);

// Annotations in the regions' order. A hole that does not continue a region is cut out of every
// region of its layer, before or after it, that holds at least half of its vertices (64 evenly
// spaced ones if it has more). Rings under 3 vertices and holes that lie in nothing are counted in
// `skipped`.
std::vector<Annotation> JoinRegions(std::vector<FlatRegion> regions, AnnotationText& text,
                                    int64_t& skipped);

}  // namespace eosin::tiling
