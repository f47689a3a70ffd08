// SPDX-License-Identifier: Apache-2.0
// What a window sees beyond the picture's edge.
#pragma once

#include <algorithm>
#include <cstdint>

namespace eosin::segment {

// Pixel i of an axis of `size` pixels, mirrored at both ends without repeating the border; where
// the axis is much shorter than the window it bounces.
inline int64_t Mirror(int64_t i, int64_t size) {
  if (size == 1) return 0;
  const int64_t period = 2 * (size - 1);
  i %= period;
  if (i < 0) i += period;
  return i < size ? i : period - i;
}

struct Span {
  int64_t begin = 0, end = 0;
};

// The pixels of an axis that a window [start, start + window) looks at; it must touch the axis.
inline Span MirroredSpan(int64_t start, int64_t window, int64_t size) {
  const int64_t end = start + window;
  Span span{std::max<int64_t>(start, 0), std::min(end, size)};
  if (start < 0) span.end = std::max(span.end, std::min(size, 1 - start));
  if (end > size) span.begin = std::min(span.begin, std::max<int64_t>(0, 2 * size - 1 - end));
  // Both ends: the reflections may bounce.
  if (start < 0 && (end > size || 1 - start > size)) span = {0, size};
  if (end > size && 2 * size - 1 - end < 0) span = {0, size};
  return span;
}

}  // namespace eosin::segment
