// SPDX-License-Identifier: Apache-2.0
#include "segment/train/losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

namespace eosin::segment {

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& target, int64_t ignore) {
  const at::Tensor counts = target.ne(ignore);
  const at::Tensor safe = at::where(counts, target, at::zeros_like(target));
  const at::Tensor picked =
      at::log_softmax(logits.to(at::kFloat), 1).gather(1, safe.unsqueeze(1)).squeeze(1);
  return -(picked * counts).sum() / counts.sum().clamp_min(1);
}

at::Tensor DiceLoss(const at::Tensor& logits, const at::Tensor& target, int64_t ignore) {
  const at::Tensor counts = target.ne(ignore).unsqueeze(1);
  const at::Tensor p = at::softmax(logits.to(at::kFloat), 1) * counts;
  const at::Tensor classes = at::arange(logits.size(1), target.options()).view({1, -1, 1, 1});
  const at::Tensor t = target.unsqueeze(1).eq(classes).to(at::kFloat);  // ignored: no class at all
  const at::Tensor both = (p * t).sum({0, 2, 3});
  const at::Tensor truth = t.sum({0, 2, 3});
  const at::Tensor present = truth.gt(0).to(at::kFloat);
  const at::Tensor dice = 2 * both / (p.sum({0, 2, 3}) + truth).clamp_min(1e-6);
  return (present * (1 - dice)).sum() / present.sum().clamp_min(1);
}

}  // namespace eosin::segment
