// SPDX-License-Identifier: Apache-2.0
// How far a view's Gaussian blur reaches: one rule for the CPU's executor and the GPU's. C++17,
// host and device.
#pragma once

#include <cmath>

#include "core/base/philox.h"  // EOSIN_HOST_DEVICE

namespace eosin::engine {

constexpr int kMaxBlurRadius = 128;

// Half of torchvision's kernel, whose side is about a tenth of the view's shorter one.
EOSIN_HOST_DEVICE inline int BlurKernelHalf(int width, int height) {
  return (width < height ? width : height) / 10 / 2;
}

// Taps beyond 4 sigma weigh 6.3e-5 together: 0.016 grey levels at most, per direction.
EOSIN_HOST_DEVICE inline int BlurRadius(double sigma, int width, int height) {
  if (!(sigma > 0)) return 0;
  int radius = BlurKernelHalf(width, height);
  const int far = static_cast<int>(::ceil(4 * sigma));
  if (far < radius) radius = far;
  const int inside = (width < height ? width : height) - 1;  // borders are reflected once
  if (inside < radius) radius = inside;
  return radius < kMaxBlurRadius ? radius : kMaxBlurRadius;
}

}  // namespace eosin::engine
