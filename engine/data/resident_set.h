// SPDX-License-Identifier: Apache-2.0
// A whole image set as uint8 in GPU memory. CUDA builds only.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/data/image_source.h"

#include <ATen/core/Tensor.h>

namespace eosin::engine {

struct ResidentSet {
  at::Tensor images;             // (size, height, width, 3) uint8 on the device
  std::vector<int64_t> damaged;  // did not decode; their rows hold zeros
};

// Decodes every image once, with `workers` threads, and copies it. The source has a uniform_size().
// Names the first ten damaged ones in the log. DataError, with the first reason, when more than 1 %
// of the set (and more than ten) is damaged; InterruptedError on SIGINT.
ResidentSet LoadResident(const ImageSource& source, int64_t workers, c10::Device device);

}  // namespace eosin::engine
