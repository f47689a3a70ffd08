// SPDX-License-Identifier: Apache-2.0
// The objects of a mask: connected areas, or the numbers of an instance mask. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace eosin::eval {

struct Object {
  int64_t area = 0;                    // px
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // bounding box, x1 and y1 behind the last pixel
};

struct Objects {
  int width = 0, height = 0;
  std::vector<int32_t> label;  // (height, width): 0 = none, k = objects[k - 1]
  std::vector<Object> objects;

  int count() const { return static_cast<int>(objects.size()); }
  const Object& object(int number) const { return objects[static_cast<size_t>(number - 1)]; }
  int32_t at(int x, int y) const {
    return label[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)];
  }
};

// The 8-connected areas of one value, numbered in the order of their first pixels, row by row.
Objects ConnectedObjects(std::span<const uint8_t> classes, int width, int height, uint8_t value);

// One object a number other than 0, connected or not, in ascending order of the numbers.
Objects NumberedObjects(std::span<const uint16_t> numbers, int width, int height);

// Takes the pixels away at which ignored[i] == ignore. A predicted object that lost more than half
// by that is dropped unless what is left has an IoU above 0.5 with a true object: PanopticAPI
// matches with the void out of the union and forgives only what stays unmatched. Numbers stay in
// order, without gaps.
void RemoveIgnored(std::span<const uint8_t> ignored, int ignore, const Objects& truth,
                   Objects* predicted);

// Drops objects of an area below min_area.
void RemoveSmall(int64_t min_area, Objects* objects);

}  // namespace eosin::eval
