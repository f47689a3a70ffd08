// SPDX-License-Identifier: Apache-2.0
#include "segment/train/batch.h"

#include <ATen/ops/from_blob.h>

namespace eosin::segment {

DeviceBatch ToDevice(const CropBatch& crops, int64_t crop, c10::Device device,
                     const engine::Normalization& normalization) {
  const auto count = static_cast<int64_t>(crops.indices.size());
  DeviceBatch batch;
  batch.input = engine::ToInput(crops.images.data(), count, crop, device, normalization);
  // from_blob wants a mutable pointer; the bytes are only read.
  batch.mask =
      at::from_blob(const_cast<uint8_t*>(crops.masks.data()), {count, crop, crop}, at::kByte)
          .to(at::TensorOptions().device(device), /*non_blocking=*/false, /*copy=*/true);
  return batch;
}

}  // namespace eosin::segment
