// SPDX-License-Identifier: Apache-2.0
// The CUDA executor of view records, block by block, written so that a host loop runs it too: each
// pass is a row of phases, `loop(f)` calls f(thread) for every thread of the block and is a barrier
// at its end. tests/engine/view_kernel_test.cc runs whole batches this way where there is no GPU;
// views.cu launches the same functions.
//
// A block owns a few whole rows of one view (RowsOfBlock), held in shared memory as interleaved
// floats. Few, wide passes: what would need the whole view at once (mean luma for contrast, the
// blur down the columns) ends a pass, everything else is fused.
//   first   crop and resize, stain, colour operations up to contrast, sum of luma
//           -- without contrast: all colour operations, grey, blur along the rows
//   second  views with contrast: the rest of the colour operations, grey, blur along the rows
//   third   views with blur: blur down the columns
// The last pass of a view solarises, rounds to a grey level, and puts it where it belongs.
// Arithmetic is that of the CPU executor; sums run in a fixed order, so results never change.
//
// Resampling is a direct sum over the taps of both axes: neighbours share them in the L1 cache,
// where one pass over rows and one over columns would need shared memory that grows with the scale
// (1024 px to 96 px: 140 KB a block). Tap weights come from tables made once a view (7 KB at 224
// px, 2 % of a view's traffic): exact as on the CPU, and no division per pixel.
#pragma once

#include "engine/kernels/view_plan.h"

namespace eosin::engine::kernel {

constexpr int kThreads = 256;
constexpr int kBlockPixels = 1024;  // 12 KB of shared memory: eight blocks a multiprocessor
constexpr int kMaxSide = 3584;      // one row must fit into shared memory

EOSIN_HOST_DEVICE inline int RowsOfBlock(int width) {
  return width >= kBlockPixels ? 1 : kBlockPixels / width;
}
EOSIN_HOST_DEVICE inline int BlocksOf(int width, int height) {
  const int rows = RowsOfBlock(width);
  return (height + rows - 1) / rows;
}

struct ViewTables {      // of one view; taps are tap-major with a stride of `side`
  const int* start;      // across (side), down (side)
  const float* weights;  // across (max_taps, side), down (max_taps, side)
  int side, max_taps;
  EOSIN_HOST_DEVICE const int* down_start() const { return start + side; }
  EOSIN_HOST_DEVICE const float* down_weights() const { return weights + int64_t{max_taps} * side; }
};

// Where a pass works. rows: shared, 3 * kBlockPixels floats or 3 * width; sums: shared, kThreads.
struct BlockMemory {
  float* rows;
  float* sums;
  float* scratch;    // the whole view between passes, interleaved
  float* luma_sums;  // of the view, one a block
};

EOSIN_PIXEL int Reflect(int i, int n) {
  i = i < 0 ? -i : i;
  return i >= n ? 2 * (n - 1) - i : i;
}

EOSIN_PIXEL pixel::Rgb ResizePixel(const ViewPlan& plan, const ViewTables& tables, int x, int y) {
  const int left = tables.start[x], top = tables.down_start()[y];
  const float* across = tables.weights + x;
  const float* down = tables.down_weights() + y;
  const int64_t stride = int64_t{3} * plan.source_width;
  const uint8_t* line = plan.source + top * stride + 3 * left;
  pixel::Rgb sum = {0, 0, 0};
  for (int j = 0; j < plan.down_taps; ++j, line += stride) {
    const float weight = down[j * tables.side];
    if (weight == 0.0f) continue;
    pixel::Rgb row = {0, 0, 0};
    const uint8_t* p = line;
    for (int k = 0; k < plan.across_taps; ++k, p += 3) {
      const float w = across[k * tables.side];
      row.r += w * static_cast<float>(p[0]);
      row.g += w * static_cast<float>(p[1]);
      row.b += w * static_cast<float>(p[2]);
    }
    if (plan.clamp) row = {pixel::Clamp(row.r), pixel::Clamp(row.g), pixel::Clamp(row.b)};
    sum.r += weight * row.r, sum.g += weight * row.g, sum.b += weight * row.b;
  }
  return sum;
}

EOSIN_PIXEL pixel::Rgb MapStain(const ViewPlan& plan, pixel::Rgb p) {
  if (plan.clamp) p = {pixel::Clamp(p.r), pixel::Clamp(p.g), pixel::Clamp(p.b)};
  switch (plan.stain) {
    case kStainDensity:
      return pixel::MapStains(p, plan.stains);
    case kStainLab:
      return pixel::MapLab(p, plan.channels);
    case kStainHsv:
      return pixel::MapHsv(p, plan.channels);
    default:
      return p;
  }
}

EOSIN_PIXEL pixel::Rgb ColourOp(const ViewPlan& plan, int op, pixel::Rgb p, float mean) {
  switch (op) {
    case kBrightness:
      return pixel::Blend(p, 0.0f, plan.factor[kBrightness]);
    case kContrast:
      return pixel::Blend(p, mean, plan.factor[kContrast]);
    case kSaturation:
      return pixel::Blend(p, pixel::Luma(p), plan.factor[kSaturation]);
    default:
      return pixel::ShiftHue(p, 6.0f * plan.factor[kHue]);
  }
}

EOSIN_PIXEL pixel::Rgb SecondHalf(const ViewPlan& plan, int begin, float mean, pixel::Rgb p) {
  for (int i = begin; i < plan.op_count; ++i) p = ColourOp(plan, plan.ops[i], p, mean);
  if (plan.gray) {
    const float luma = pixel::Luma(p);
    p = {luma, luma, luma};
  }
  return p;
}

// value: index of a channel of a pixel of the view before the flips.
template <typename Sink>
EOSIN_HOST_DEVICE inline void Finish(const ViewPlan& plan, int value, float v, const Sink& sink) {
  if (plan.solarize <= 255.0f) v = pixel::Solarize(v, plan.solarize);
  const int pixel_index = value / 3;
  const int y = pixel_index / plan.width, x = pixel_index - y * plan.width;
  const pixel::RowPlacement at =
      pixel::PlaceRow(y, plan.width, plan.height, plan.hflip, plan.vflip, plan.rot90);
  const int channel = value - 3 * pixel_index;
  sink(3 * (at.base + x * at.step) + channel, channel, pixel::ToByte(v));
}

// The rows in shared memory blurred along and kept for the third pass, or finished.
template <typename Loop, typename Sink>
EOSIN_HOST_DEVICE inline void StoreRows(const Loop& loop, const ViewPlan& plan, int first_row,
                                        int values, const BlockMemory& memory, const Sink& sink) {
  const int line = 3 * plan.width, begin = first_row * line;
  loop([&](int thread) {
    for (int i = thread; i < values; i += kThreads) {
      if (plan.blur_radius == 0) {
        Finish(plan, begin + i, memory.rows[i], sink);
        continue;
      }
      const int row = i / line, in_row = i - row * line;
      const int x = in_row / 3, channel = in_row - 3 * x;
      const float* at = memory.rows + row * line + channel;
      float sum = plan.blur[0] * memory.rows[i];
      for (int k = 1; k <= plan.blur_radius; ++k) {
        sum += plan.blur[k] *
               (at[3 * Reflect(x - k, plan.width)] + at[3 * Reflect(x + k, plan.width)]);
      }
      memory.scratch[begin + i] = sum;
    }
  });
}

template <typename Loop, typename Sink>
EOSIN_HOST_DEVICE inline void FirstPass(const Loop& loop, const ViewPlan& plan,
                                        const ViewTables& tables, int block,
                                        const BlockMemory& memory, const Sink& sink) {
  const int per_block = RowsOfBlock(plan.width), first_row = block * per_block;
  if (first_row >= plan.height) return;
  const int rows = per_block < plan.height - first_row ? per_block : plan.height - first_row;
  const int pixels = rows * plan.width;
  const bool contrast = plan.contrast_at >= 0;
  loop([&](int thread) {
    float luma = 0;
    for (int i = thread; i < pixels; i += kThreads) {
      const int row = i / plan.width, x = i - row * plan.width;
      pixel::Rgb p = MapStain(plan, ResizePixel(plan, tables, x, first_row + row));
      if (contrast) {
        for (int k = 0; k < plan.contrast_at; ++k) p = ColourOp(plan, plan.ops[k], p, 0.0f);
        luma += pixel::Luma(p);
      } else {
        p = SecondHalf(plan, 0, 0.0f, p);
      }
      memory.rows[3 * i] = p.r, memory.rows[3 * i + 1] = p.g, memory.rows[3 * i + 2] = p.b;
    }
    memory.sums[thread] = luma;
  });
  if (!contrast) {
    StoreRows(loop, plan, first_row, 3 * pixels, memory, sink);
    return;
  }
  const int begin = first_row * 3 * plan.width;
  loop([&](int thread) {
    for (int i = thread; i < 3 * pixels; i += kThreads) memory.scratch[begin + i] = memory.rows[i];
  });
  for (int half = kThreads / 2; half > 0; half /= 2) {
    loop([&](int thread) {
      if (thread < half) memory.sums[thread] += memory.sums[thread + half];
    });
  }
  loop([&](int thread) {
    if (thread == 0) memory.luma_sums[block] = memory.sums[0];
  });
}

template <typename Loop, typename Sink>
EOSIN_HOST_DEVICE inline void SecondPass(const Loop& loop, const ViewPlan& plan, int block,
                                         const BlockMemory& memory, const Sink& sink) {
  const int per_block = RowsOfBlock(plan.width), first_row = block * per_block;
  if (plan.contrast_at < 0 || first_row >= plan.height) return;
  const int rows = per_block < plan.height - first_row ? per_block : plan.height - first_row;
  const int pixels = rows * plan.width, begin = first_row * 3 * plan.width;
  const int blocks = BlocksOf(plan.width, plan.height);
  loop([&](int thread) {
    for (int i = thread; i < 3 * pixels; i += kThreads) memory.rows[i] = memory.scratch[begin + i];
    float sum = 0;
    for (int i = thread; i < blocks; i += kThreads) sum += memory.luma_sums[i];
    memory.sums[thread] = sum;
  });
  for (int half = kThreads / 2; half > 0; half /= 2) {
    loop([&](int thread) {
      if (thread < half) memory.sums[thread] += memory.sums[thread + half];
    });
  }
  loop([&](int thread) {
    const float mean = memory.sums[0] / static_cast<float>(plan.width * plan.height);
    for (int i = thread; i < pixels; i += kThreads) {
      float* v = memory.rows + 3 * i;
      const pixel::Rgb p = SecondHalf(plan, plan.contrast_at, mean, {v[0], v[1], v[2]});
      v[0] = p.r, v[1] = p.g, v[2] = p.b;
    }
  });
  StoreRows(loop, plan, first_row, 3 * pixels, memory, sink);
}

template <typename Loop, typename Sink>
EOSIN_HOST_DEVICE inline void ThirdPass(const Loop& loop, const ViewPlan& plan, int block,
                                        const BlockMemory& memory, const Sink& sink) {
  const int per_block = RowsOfBlock(plan.width), first_row = block * per_block;
  if (plan.blur_radius == 0 || first_row >= plan.height) return;
  const int rows = per_block < plan.height - first_row ? per_block : plan.height - first_row;
  const int line = 3 * plan.width;
  loop([&](int thread) {
    for (int i = thread; i < rows * line; i += kThreads) {
      const int row = i / line, y = first_row + row, in_row = i - row * line;
      const float* column = memory.scratch + in_row;
      float sum = plan.blur[0] * column[y * line];
      for (int k = 1; k <= plan.blur_radius; ++k) {
        sum += plan.blur[k] * (column[Reflect(y - k, plan.height) * line] +
                               column[Reflect(y + k, plan.height) * line]);
      }
      Finish(plan, y * line + in_row, sum, sink);
    }
  });
}

// Plan and tables of one view.
template <typename Loop>
EOSIN_HOST_DEVICE inline void PreparePass(const Loop& loop, const ViewParams& params,
                                          const uint8_t* source, PictureSize picture,
                                          PictureSize out, int side, int max_taps, ViewPlan* plan,
                                          int* start, float* weights) {
  loop([&](int thread) {
    Axis across, down;
    MakeAxes(params, picture, out, &across, &down);
    if (thread == 0) PlanView(params, source, picture, across, down, plan);
    for (int i = thread; i < across.outputs; i += kThreads) {
      start[i] = MakeTaps(across, i, side, weights + i);
    }
    for (int i = thread; i < down.outputs; i += kThreads) {
      start[side + i] = MakeTaps(down, i, side, weights + int64_t{max_taps} * side + i);
    }
  });
}

}  // namespace eosin::engine::kernel
