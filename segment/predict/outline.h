// SPDX-License-Identifier: Apache-2.0
// From a traced region to the rings of a valid polygon.
#pragma once

#include <vector>

#include "segment/predict/polygon_tracer.h"

namespace eosin::segment {

struct Vertex2 {
  double x = 0, y = 0;
};
using VertexRing = std::vector<Vertex2>;

// Rings without a repeated first vertex; the first is the outer one.
struct OutlinePolygon {
  std::vector<VertexRing> rings;
};

// Twice the enclosed area, positive for outer rings (polygon_tracer.h).
double TwiceArea(const VertexRing& ring);

// The pixels' own edges. Rings that pass a corner twice are taken apart there, so that every ring
// is simple; rings of a polygon may touch at corners.
OutlinePolygon ExactOutline(const TracedRegion& region);

inline constexpr double kOutlineError = 0.5;  // pixels

// Fewer vertices: nothing of the exact outline is farther than kOutlineError from the result, nor
// the reverse. Rings neither cross nor touch themselves or each other. Regions are simplified one
// by one: the outlines of two that meet are not the same along their border.
//
// First every corner is cut off between the middles of the cracks beside it (at half a pixel where
// an edge is longer); of that curve, whose strands are at least 1/sqrt(2) apart, vertices are
// dropped as Douglas and Peucker do (Cartographica 10:112, 1973), where it moves by less than half
// of that and no corner of the exact outline is left by more than kOutlineError.
OutlinePolygon SimplifiedOutline(const TracedRegion& region);

}  // namespace eosin::segment
