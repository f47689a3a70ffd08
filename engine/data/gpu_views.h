// SPDX-License-Identifier: Apache-2.0
// Views made on the GPU from pictures and records that lie there (engine/kernels/views.h), as
// tensors. CUDA builds only.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/augment/view_params.h"
#include "engine/data/view_loader.h"
#include "engine/kernels/views.h"
#include "engine/training/input.h"

#include <ATen/core/Tensor.h>

namespace eosin::engine {

// pictures: device, uint8, rows of width x height x 3. records, record_images: device copies of
// `host_records` and of the row of `pictures` each is cut from, view-major, groups one after
// another, `batch` a view. Asynchronous on the current stream: no host synchronisation.
// MachineError when a kernel is refused.
std::vector<at::Tensor> MakeGpuViews(const uint8_t* pictures, kernel::PictureSize picture,
                                     const std::vector<ViewParams>& host_records,
                                     const ViewParams* records, const int64_t* record_images,
                                     int64_t batch, const std::vector<ViewGroup>& groups,
                                     c10::Device device, const Normalization& normalization);

// Throws MachineError unless `error` (a cudaError_t) is cudaSuccess.
void CheckCuda(int error, const char* what);

}  // namespace eosin::engine
