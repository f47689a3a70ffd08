// SPDX-License-Identifier: Apache-2.0
// The CPU executor of view records. Arithmetic follows torchvision v2 on float tensors
// (anti-aliased bilinear or bicubic resize of the crop, adjust_* blends clamped to the range, hue
// through HSV, Gaussian blur with reflected borders and an odd kernel of about a tenth of the
// size); values stay in float between operations and are rounded once, at the end. An identity
// record copies bit for bit.
//
// The instruction set (baseline, AVX2+FMA, AVX-512) is chosen at run time; results may differ
// between them, and from the GPU's (engine/kernels/views.h), by one grey level, never with the
// number of threads. By more only where a record jumps, so that rounding decides: at a
// solarize_threshold other than 0.5, and in HSV (RandStainNA) at the hue cut, red, and in greys,
// whose hue is rounding. Blur taps beyond 4 sigma are dropped: an error below 0.033 grey levels.
#pragma once

#include <cstdint>
#include <memory>

#include "core/image/image.h"
#include "engine/augment/view_params.h"

namespace eosin::engine {

// Working memory of one thread: about 12 bytes a pixel of the view. Reused between calls.
class ViewScratch {
 public:
  ViewScratch();
  ~ViewScratch();
  ViewScratch(ViewScratch&&) noexcept;
  ViewScratch& operator=(ViewScratch&&) noexcept;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

enum class SimdLevel : int { kBaseline = 0, kAvx2 = 1, kAvx512 = 2 };
SimdLevel BestSimd();  // what this machine runs

// source: RGB. out: out_height x out_width x 3 bytes, HWC.
void ApplyView(const core::Image& source, const ViewParams& params, int out_width, int out_height,
               uint8_t* out, ViewScratch& scratch);
void ApplyView(const core::Image& source, const ViewParams& params, int out_width, int out_height,
               uint8_t* out, ViewScratch& scratch, SimdLevel simd);  // for tests
inline void ApplyView(const core::Image& source, const ViewParams& params, int out_size,
                      uint8_t* out, ViewScratch& scratch) {
  ApplyView(source, params, out_size, out_size, out, scratch);
}

// The geometry of the record alone, nearest neighbour, on a 1-channel mask of the source's size.
// out: out_height x out_width bytes.
void ApplyMask(const core::Image& mask, const ViewParams& params, int out_width, int out_height,
               uint8_t* out);

// Side of the blur kernel for a view of this size (torchvision's kernel_size): odd, about size
// / 10.
int BlurKernelSize(int out_width, int out_height);

}  // namespace eosin::engine
