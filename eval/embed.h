// SPDX-License-Identifier: Apache-2.0
// Features of images by a frozen encoder.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/data/image_source.h"
#include "engine/models/resnet.h"
#include "engine/training/device.h"
#include "engine/training/input.h"

namespace eosin::eval {

struct EmbedOptions {
  int64_t size = 224;  // px; the shorter side is resized to it (anti-aliased), then centre crop
  int64_t batch = 64;
  int workers = 1;  // reading threads; results do not depend on them
  engine::Normalization normalization;
};

// Features (indices.size(), D), fp32 on the CPU, in the order of `indices`. The net runs in eval
// mode without gradients and gets its mode back. Throws InterruptedError on SIGINT.
at::Tensor Embed(engine::ResNet net, const engine::ImageSource& source,
                 const std::vector<int64_t>& indices, const EmbedOptions& options,
                 const engine::Compute& compute);

}  // namespace eosin::eval
