// SPDX-License-Identifier: Apache-2.0
// Where windows stand along one axis of the raster.
#pragma once

#include <cstdint>

#include "segment/predict/mirror.h"

namespace eosin::segment {

// The windows of one axis: window i covers [Start(i), Start(i) + window).
struct WindowAxis {
  int64_t size = 0, first = 0, count = 0;
  int window = 0, stride = 0;

  WindowAxis() = default;
  WindowAxis(int64_t size, int window, int stride, int64_t offset);
  int64_t Start(int64_t i) const { return first + i * stride; }
  // Pixels before this one have all their windows among the first i.
  int64_t Done(int64_t i) const;
  // The first window that reaches pixel `at` or a later one.
  int64_t FirstReaching(int64_t at) const;
};

}  // namespace eosin::segment
