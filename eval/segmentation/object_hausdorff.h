// SPDX-License-Identifier: Apache-2.0
// The Hausdorff distance between two objects as pixel sets (not their outlines): the largest
// distance of a pixel of either to the nearest pixel of the other. Exact. Torch-free.
#pragma once

#include <cstdint>

#include "eval/segmentation/objects.h"

namespace eosin::eval {

// Squared, px^2, of object i of `a` and object j of `b` (numbers from 1), masks of one size.
int64_t SquaredHausdorff(const Objects& a, int i, const Objects& b, int j);

// The object of `b` with the smallest Hausdorff distance to object i of `a`, and that distance; of
// equal ones the lowest number. b must have objects.
struct NearestObject {
  int number = 0;
  int64_t squared = 0;
};
NearestObject FindNearest(const Objects& a, int i, const Objects& b);

}  // namespace eosin::eval
