// SPDX-License-Identifier: Apache-2.0
// The host's part of the GPU executor: checks and memory.
#include "engine/kernels/views.h"

#include <fmt/format.h>
#include <algorithm>

#include "core/base/error.h"

namespace eosin::engine {
namespace {

// So much scratch stays in the L2 cache of an H100 or A100 (40 MB and more).
constexpr int64_t kChunkBytes = 32 << 20;
constexpr int64_t kMostViewsInAChunk = 65535;  // a grid's second dimension

void CheckRecord(const ViewParams& params, int width, int height) {
  if (params.version != kViewParamsVersion) {
    throw core::ConfigError(fmt::format("view record of version {}", params.version),
                            fmt::format("this build executes version {}", kViewParamsVersion));
  }
  if (!(params.crop_w > 0 && params.crop_h > 0)) return;
  const double right = double{params.crop_x} + params.crop_w;
  const double bottom = double{params.crop_y} + params.crop_h;
  if (params.crop_x >= 0 && params.crop_y >= 0 && right <= width + 1e-3 &&
      bottom <= height + 1e-3) {
    return;
  }
  throw core::ConfigError(
      fmt::format("the crop [{}, {}) x [{}, {}) leaves the image of {} x {} pixels", params.crop_x,
                  right, params.crop_y, bottom, width, height),
      "records must be drawn for the size of the images they are cut from");
}

}  // namespace

ViewNeeds NeedsOf(const ViewParams* records, int64_t count, int picture_width, int picture_height,
                  int out_width, int out_height) {
  if (out_width < 1 || out_height < 1 || picture_width < 1 || picture_height < 1 ||
      std::max(out_width, out_height) > kernel::kMaxSide) {
    throw core::ConfigError(
        fmt::format("cannot make views of {} x {} pixels from images of {} x {} on the GPU",
                    out_width, out_height, picture_width, picture_height),
        fmt::format("sizes go from 1 to {}; larger views need placement = host", kernel::kMaxSide));
  }
  ViewNeeds needs;
  for (int64_t i = 0; i < count; ++i) {
    CheckRecord(records[i], picture_width, picture_height);
    kernel::Axis across, down;
    kernel::MakeAxes(records[i], {picture_width, picture_height}, {out_width, out_height}, &across,
                     &down);
    needs.max_taps = std::max({needs.max_taps, across.taps, down.taps});
    if (records[i].jitter) {
      for (const uint8_t op : records[i].jitter_order) needs.contrast |= op == kContrast;
    }
    needs.blur |= BlurRadius(records[i].blur_sigma, out_width, out_height) > 0;
  }
  return needs;
}

ViewLayout LayOut(int64_t views, const ViewNeeds& needs, int out_width, int out_height) {
  ViewLayout layout;
  layout.side = std::max(out_width, out_height);
  layout.max_taps = needs.max_taps;
  layout.blocks = std::max(kernel::BlocksOf(out_width, out_height),
                           kernel::BlocksOf(out_height, out_width));  // quarter turns
  layout.view_values = int64_t{3} * out_width * out_height;
  const int64_t view_bytes = layout.view_values * static_cast<int64_t>(sizeof(float));
  layout.chunk = std::clamp<int64_t>(kChunkBytes / view_bytes, 1,
                                     std::min(std::max<int64_t>(views, 1), kMostViewsInAChunk));
  auto take = [&](size_t per_view) {
    const size_t at = layout.bytes;
    layout.bytes += (per_view * static_cast<size_t>(layout.chunk) + 255) / 256 * 256;
    return at;
  };
  const size_t side = static_cast<size_t>(layout.side);
  layout.plans = take(sizeof(kernel::ViewPlan));
  layout.starts = take(2 * side * sizeof(int));
  layout.weights = take(2 * side * static_cast<size_t>(layout.max_taps) * sizeof(float));
  layout.luma_sums = take(static_cast<size_t>(layout.blocks) * sizeof(float));
  layout.scratch = take(static_cast<size_t>(view_bytes));
  return layout;
}

}  // namespace eosin::engine
