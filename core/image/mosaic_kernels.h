// SPDX-License-Identifier: Apache-2.0
// The two passes of MosaicResampler, plain and for AVX2 with identical results.
#pragma once

#include <cstdint>

namespace eosin::core {

// Fixed point: intermediate values carry kLineBits fractional bits in int16.
inline constexpr int kLineBits = 7;
inline constexpr int kDownBits = 15;     // weights of the vertical pass
inline constexpr int kAcrossBits = 14;   // weights of the horizontal pass
inline constexpr int kLinePadding = 32;  // values after a line that may be read (with weight 0)

// out[i] = min(taps / 2, 64) + sum over k of floor(rows[k][i] * weight[k] / 2^8), the weight in the
// low half of weights[k] and again in the high half; weights sum to 2^kDownBits.
struct DownPass {
  const uint8_t* const* rows;
  const uint32_t* weights;
  int taps;
  int count;  // values
  int16_t* out;
};

// Outputs in groups of four; for a group g and its pair of taps k, weights[16 * (2 * (g * stride +
// k) + h)] holds (w0 w1) four times for output h, then four times for output h + 2; h = 0, 1.
// A pair of output i reads the pixels line[first[i] + 6 * k] and the next. Room: all arrays are
// padded to whole groups.
struct AcrossPass {
  const int16_t* line;
  const int* first;
  const int16_t* weights;
  const int* pairs;  // a group
  int stride;        // pairs a group has room for
  int outputs;
  uint8_t* out;  // 3 * outputs bytes
};

void FilterDownPlain(const DownPass& pass);
void FilterAcrossPlain(const AcrossPass& pass);
bool HaveAvx2();                            // false where the program was not built for x86-64
void FilterDownAvx2(const DownPass& pass);  // only where HaveAvx2()
void FilterAcrossAvx2(const AcrossPass& pass);

using DownKernel = void (*)(const DownPass&);
using AcrossKernel = void (*)(const AcrossPass&);
DownKernel BestDownKernel();
AcrossKernel BestAcrossKernel();

}  // namespace eosin::core
