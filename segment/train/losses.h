// SPDX-License-Identifier: Apache-2.0
// Losses over logits (N, C, H, W) and classes (N, H, W) int64 on one device. Pixels of class
// `ignore` do not count. Arithmetic in fp32 whatever the logits are; no host synchronisation.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace eosin::segment {

inline constexpr int64_t kIgnoredClass = 255;

// Mean cross-entropy over the pixels that count; 0 when none does.
at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& target,
                        int64_t ignore = kIgnoredClass);

// Soft Dice over the pixels of the whole batch: 1 - mean over classes of 2 sum(p t) / (sum p + sum
// t). A class absent from the batch's truth is left out of the mean (its false positives are the
// cross-entropy's business); 0 when no pixel counts. Milletari et al., V-Net (2016).
at::Tensor DiceLoss(const at::Tensor& logits, const at::Tensor& target,
                    int64_t ignore = kIgnoredClass);

}  // namespace eosin::segment
