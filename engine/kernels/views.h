// SPDX-License-Identifier: Apache-2.0
// The executor of view records on a GPU: uint8 RGB pictures of one size and records in device
// memory become normalised network input, in at most four kernels (view_pass.h) a chunk of views.
// The same records on the CPU give views that differ by at most one grey level, but for single
// pixels where a record jumps (augment/apply.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/augment/view_params.h"
#include "engine/kernels/normalize.h"
#include "engine/kernels/view_pass.h"

namespace eosin::engine {

// What a batch of records asks for, found on the host before the launch.
struct ViewNeeds {
  int max_taps = 1;
  bool contrast = false, blur = false;
};
// Throws ConfigError for a record of another version, a crop outside of the picture, or a view
// larger than kernel::kMaxSide.
ViewNeeds NeedsOf(const ViewParams* records, int64_t count, int picture_width, int picture_height,
                  int out_width, int out_height);

// Working memory is laid out for `chunk` views; between passes they stay in the GPU's L2 cache.
struct ViewLayout {
  int64_t chunk = 0;
  int side = 0, max_taps = 0, blocks = 0;
  int64_t view_values = 0;  // 3 * out_width * out_height
  // Byte offsets.
  size_t plans = 0, starts = 0, weights = 0, luma_sums = 0, scratch = 0, bytes = 0;
};
ViewLayout LayOut(int64_t views, const ViewNeeds& needs, int out_width, int out_height);

struct ViewLaunch {
  const uint8_t* pictures = nullptr;  // (P, height, width, 3)
  kernel::PictureSize picture{};
  const ViewParams* records = nullptr;     // (views)
  const int64_t* record_images = nullptr;  // (views) rows of pictures
  int64_t views = 0;
  kernel::PictureSize out{};
  ViewNeeds needs;
  ViewLayout layout;
  NormalizeConstants normalize{};
  float* values = nullptr;    // (views, out.height, out.width, 3): a channels_last NCHW tensor
  uint8_t* memory = nullptr;  // layout.bytes, 256-byte aligned
};

// All pointers are device memory. Asynchronous on `stream` (a cudaStream_t). Returns cudaSuccess
// (0) or the launch error. Defined in CUDA builds only.
int LaunchViews(const ViewLaunch& launch, void* stream);

}  // namespace eosin::engine
