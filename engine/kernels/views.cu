// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include "engine/kernels/views.h"

namespace eosin::engine {
namespace {

using kernel::kThreads;

struct BlockLoop {
  template <typename Phase>
  __device__ void operator()(const Phase& phase) const {
    phase(static_cast<int>(threadIdx.x));
    __syncthreads();
  }
};

struct NormalizedSink {
  NormalizeConstants constants;
  float* view;
  // Selected, not indexed: an index would put the constants into local memory.
  __device__ static float Of(const float (&values)[3], int channel) {
    return channel == 0 ? values[0] : (channel == 1 ? values[1] : values[2]);
  }
  __device__ void operator()(int64_t at, int channel, uint8_t level) const {
    view[at] =
        static_cast<float>(level) * Of(constants.scale, channel) + Of(constants.shift, channel);
  }
};

// The part of the launch that one chunk needs; views are counted from `first`.
struct Chunk {
  ViewLaunch launch;
  int64_t first;
};

__device__ kernel::ViewPlan* PlanOf(const Chunk& chunk, int64_t view) {
  return reinterpret_cast<kernel::ViewPlan*>(chunk.launch.memory + chunk.launch.layout.plans) +
         view;
}

__device__ kernel::ViewTables TablesOf(const Chunk& chunk, int64_t view) {
  const ViewLayout& layout = chunk.launch.layout;
  const int* starts = reinterpret_cast<const int*>(chunk.launch.memory + layout.starts);
  const float* weights = reinterpret_cast<const float*>(chunk.launch.memory + layout.weights);
  return {starts + view * 2 * layout.side, weights + view * 2 * layout.max_taps * layout.side,
          layout.side, layout.max_taps};
}

__device__ kernel::BlockMemory MemoryOf(const Chunk& chunk, int64_t view, float* shared) {
  const ViewLayout& layout = chunk.launch.layout;
  float* scratch = reinterpret_cast<float*>(chunk.launch.memory + layout.scratch);
  float* sums = reinterpret_cast<float*>(chunk.launch.memory + layout.luma_sums);
  return {shared + kThreads, shared, scratch + view * layout.view_values,
          sums + view * layout.blocks};
}

__device__ NormalizedSink SinkOf(const Chunk& chunk, int64_t view) {
  const ViewLaunch& launch = chunk.launch;
  return {launch.normalize, launch.values + (chunk.first + view) * launch.layout.view_values};
}

__global__ void __launch_bounds__(kThreads) Prepare(const Chunk chunk) {
  const ViewLaunch& launch = chunk.launch;
  const int64_t view = blockIdx.x, record = chunk.first + view;
  const int64_t picture_bytes = int64_t{3} * launch.picture.width * launch.picture.height;
  const kernel::ViewTables tables = TablesOf(chunk, view);
  kernel::PreparePass(BlockLoop{}, launch.records[record],
                      launch.pictures + launch.record_images[record] * picture_bytes,
                      launch.picture, launch.out, tables.side, tables.max_taps, PlanOf(chunk, view),
                      const_cast<int*>(tables.start), const_cast<float*>(tables.weights));
}

template <int kPass>
__global__ void __launch_bounds__(kThreads) Pass(const Chunk chunk) {
  extern __shared__ float shared[];
  const int64_t view = blockIdx.y;
  const int block = static_cast<int>(blockIdx.x);
  const kernel::ViewPlan& plan = *PlanOf(chunk, view);
  const kernel::BlockMemory memory = MemoryOf(chunk, view, shared);
  const NormalizedSink sink = SinkOf(chunk, view);
  if (kPass == 1) {
    kernel::FirstPass(BlockLoop{}, plan, TablesOf(chunk, view), block, memory, sink);
  } else if (kPass == 2) {
    kernel::SecondPass(BlockLoop{}, plan, block, memory, sink);
  } else {
    kernel::ThirdPass(BlockLoop{}, plan, block, memory, sink);
  }
}

}  // namespace

int LaunchViews(const ViewLaunch& launch, void* raw_stream) {
  const auto stream = static_cast<cudaStream_t>(raw_stream);
  const ViewLayout& layout = launch.layout;
  const int row = layout.side > kernel::kBlockPixels ? layout.side : kernel::kBlockPixels;
  const size_t shared = sizeof(float) * (kThreads + 3 * static_cast<size_t>(row));
  for (int64_t first = 0; first < launch.views; first += layout.chunk) {
    const Chunk chunk = {launch, first};
    const int64_t views = layout.chunk < launch.views - first ? layout.chunk : launch.views - first;
    const dim3 grid(static_cast<unsigned>(layout.blocks), static_cast<unsigned>(views));
    Prepare<<<static_cast<unsigned>(views), kThreads, 0, stream>>>(chunk);
    Pass<1><<<grid, kThreads, shared, stream>>>(chunk);
    if (launch.needs.contrast) Pass<2><<<grid, kThreads, shared, stream>>>(chunk);
    if (launch.needs.blur) Pass<3><<<grid, kThreads, 0, stream>>>(chunk);
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) return static_cast<int>(error);
  }
  return 0;
}

}  // namespace eosin::engine
