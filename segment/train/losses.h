// SPDX-License-Identifier: Apache-2.0
// Losses over logits (N, C, H, W) and classes (N, H, W) int64 on one device. Pixels of class
// `ignore` count nowhere; a batch without any other pixel has loss 0 and zero gradients. Arithmetic
// in fp32 whatever the logits are (sums over a batch pass the largest fp16 number, and bf16 has
// three digits); no host synchronisation; deterministic on a CPU.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "segment/train/loss_options.h"

namespace eosin::segment {

inline constexpr int64_t kIgnoredClass = 255;

// sum(w[y] * -log p[y]) / sum(w[y]) over the pixels, y the true class: torch's cross_entropy.
// weights: (C) fp32 on the device, or undefined for all ones. A class of weight 0 counts nowhere.
at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& target,
                        const at::Tensor& weights = {}, int64_t ignore = kIgnoredClass);

// Cross-entropy with each pixel's term times (1 - p[y])^gamma (Lin et al., "Focal loss for dense
// object detection", 2017, over a softmax); weights as there, in place of its alpha. gamma >= 1.
at::Tensor FocalLoss(const at::Tensor& logits, const at::Tensor& target, double gamma,
                     const at::Tensor& weights = {}, int64_t ignore = kIgnoredClass);

// Soft Dice over the pixels of the whole batch: 1 - mean over classes of 2 sum(p t) / (sum p + sum
// t). A class absent from the batch's truth is left out of the mean (its false positives are the
// cross-entropy's business). Milletari et al., V-Net (2016). segmentation_models.pytorch counts an
// absent class as 0 instead, so its value is this one times present / C.
at::Tensor DiceLoss(const at::Tensor& logits, const at::Tensor& target,
                    int64_t ignore = kIgnoredClass);

// Lovász-softmax (Berman et al., "The Lovász-softmax loss", 2018): the Lovász extension of 1 - IoU,
// mean over the classes that the truth shows. per_image: of each image alone, then the mean over
// images (an image without a pixel that counts is 0 in it); else of the batch's pixels together.
at::Tensor LovaszSoftmax(const at::Tensor& logits, const at::Tensor& target, bool per_image,
                         int64_t ignore = kIgnoredClass);

// The losses times their factors; one of factor 0 is not computed.
at::Tensor SumOfLosses(const LossOptions& options, const at::Tensor& logits,
                       const at::Tensor& target, const at::Tensor& weights = {},
                       int64_t ignore = kIgnoredClass);

}  // namespace eosin::segment
