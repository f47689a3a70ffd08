// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/window_axis.h"

#include <algorithm>

namespace eosin::segment {

WindowAxis::WindowAxis(int64_t axis_size, int side, int step, int64_t offset)
    : size(axis_size), window(side), stride(step) {
  // Without an offset the first window's inner part begins at 0.
  const int64_t shift = ((offset % stride) + stride) % stride;
  first = -(window - stride) / 2 - shift;
  // The last window: the first whose inner part reaches the end.
  const int64_t inner_end = first + window - (window - stride) / 2;
  count = std::max<int64_t>(1, 1 + (size - inner_end + stride - 1) / stride);
}

int64_t WindowAxis::Done(int64_t i) const {
  return i >= count ? size : std::clamp<int64_t>(Start(i), 0, size);
}

int64_t WindowAxis::FirstReaching(int64_t at) const {
  const int64_t before = at - window - first;  // the last start that does not reach it
  return before < 0 ? 0 : std::min(count, before / stride + 1);
}

}  // namespace eosin::segment
