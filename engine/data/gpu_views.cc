// SPDX-License-Identifier: Apache-2.0
#include "engine/data/gpu_views.h"

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "core/base/error.h"

namespace eosin::engine {

void CheckCuda(int error, const char* what) {
  if (error == 0) return;
  throw core::MachineError(
      fmt::format("{} failed: {}", what, cudaGetErrorString(static_cast<cudaError_t>(error))),
      "check nvidia-smi, and that this build was made for the GPU's architecture");
}

std::vector<at::Tensor> MakeGpuViews(const uint8_t* pictures, kernel::PictureSize picture,
                                     const std::vector<ViewParams>& host_records,
                                     const ViewParams* records, const int64_t* record_images,
                                     int64_t batch, const std::vector<ViewGroup>& groups,
                                     c10::Device device, const Normalization& normalization) {
  const auto bytes = at::TensorOptions().dtype(at::kByte).device(device);
  void* stream = c10::cuda::getCurrentCUDAStream(device.index()).stream();
  ViewLaunch launch;
  launch.pictures = pictures;
  launch.picture = picture;
  launch.normalize = MakeNormalizeConstants(normalization.mean.data(), normalization.std.data());
  std::vector<at::Tensor> out;
  int64_t first = 0;
  for (const ViewGroup& group : groups) {
    const int size = static_cast<int>(group.size);
    launch.views = group.count * batch;
    launch.records = records + first;
    launch.record_images = record_images + first;
    launch.out = {size, size};
    launch.needs = NeedsOf(host_records.data() + first, launch.views, picture.width, picture.height,
                           size, size);
    launch.layout = LayOut(launch.views, launch.needs, size, size);
    // Both come from the stream's own pool: freeing the memory here is safe and waits for nothing.
    const at::Tensor memory = at::empty({static_cast<int64_t>(launch.layout.bytes)}, bytes);
    at::Tensor views = at::empty({launch.views, 3, group.size, group.size}, bytes.dtype(at::kFloat),
                                 at::MemoryFormat::ChannelsLast);
    launch.memory = memory.data_ptr<uint8_t>();
    launch.values = views.data_ptr<float>();
    CheckCuda(LaunchViews(launch, stream), "making views on the GPU");
    out.push_back(std::move(views));
    first += launch.views;
  }
  return out;
}

}  // namespace eosin::engine
