// SPDX-License-Identifier: Apache-2.0
// Training crops as the network takes them.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "engine/training/input.h"
#include "segment/data/crops.h"

namespace eosin::segment {

struct DeviceBatch {
  at::Tensor input;  // (N, 3, crop, crop) fp32, channels_last, normalised
  at::Tensor mask;   // (N, crop, crop) uint8, classes and 255
};

// The crops are no longer needed on return.
DeviceBatch ToDevice(const CropBatch& crops, int64_t crop, c10::Device device,
                     const engine::Normalization& normalization);

}  // namespace eosin::segment
