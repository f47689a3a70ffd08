// SPDX-License-Identifier: Apache-2.0
// Features of images by a frozen encoder. Reading threads run ahead of the network; on a GPU the
// features stay there until the last batch, so that no batch waits for another.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/augment/recipe.h"
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
  std::function<void(int64_t images)> progress;  // after each batch; may be empty
};

// Features (indices.size(), D), or logits of a net with a classifier, fp32 on the CPU, in the order
// of `indices`. The net runs in eval
// mode without gradients and gets its mode back. In fp32 a feature depends on its image and, in
// the last bits, on the batch's shape; compute.bf16 is faster and rounds to 3 digits. Throws
// DataError naming an image that does not decode, InterruptedError on SIGINT.
at::Tensor Embed(engine::ResNet net, const engine::ImageSource& source,
                 const std::vector<int64_t>& indices, const EmbedOptions& options,
                 const engine::Compute& compute);

// Features of `views` augmented views of each image, one tensor as above a view. The recipe's size
// is options.size. Draws are keyed by (seed, place in `indices`, view).
std::vector<at::Tensor> EmbedViews(engine::ResNet net, const engine::ImageSource& source,
                                   const std::vector<int64_t>& indices, engine::ViewRecipe recipe,
                                   int views, uint64_t seed, const EmbedOptions& options,
                                   const engine::Compute& compute);

// The images as Embed sees them, flattened: (indices.size(), 3 * size * size) fp32 in 0..1 before
// normalisation. What a score without any network stands on.
at::Tensor Pixels(const engine::ImageSource& source, const std::vector<int64_t>& indices,
                  const EmbedOptions& options);

}  // namespace eosin::eval
