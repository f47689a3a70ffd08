// SPDX-License-Identifier: Apache-2.0
// Test-time augmentation over the dihedral group of the square: the mean of a network's answers to
// the eight flips and quarter turns of a window, each turned back. The result turns exactly as the
// window does, whatever the network; it costs eight passes.
#pragma once

#include "segment/predict/network.h"

namespace eosin::segment {

inline constexpr int kDihedralElements = 8;

// Where output pixel (x, y) of element g lies in the window: the elements 0-3 are quarter turns,
// 4-7 the same after a flip. 0 is the identity.
struct Place {
  int x, y;
};
Place DihedralSource(int g, int x, int y, int side);

Network Dihedral(Network inner, int side, int classes);

}  // namespace eosin::segment
