// SPDX-License-Identifier: Apache-2.0
#include "segment/train/losses.h"

#include <tuple>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

namespace eosin::segment {
namespace {

// What each pixel adds to a mean over pixels.
struct PixelTerms {
  at::Tensor log_p;   // (N, H, W) log of the true class's probability
  at::Tensor weight;  // (N, H, W) 0 where the pixel is ignored
};

PixelTerms TermsOf(const at::Tensor& logits, const at::Tensor& target, const at::Tensor& weights,
                   int64_t ignore) {
  const at::Tensor counts = target.ne(ignore);
  const at::Tensor safe = at::where(counts, target, at::zeros_like(target));
  PixelTerms terms;
  terms.log_p = at::log_softmax(logits.to(at::kFloat), 1).gather(1, safe.unsqueeze(1)).squeeze(1);
  terms.weight = counts.to(at::kFloat);
  if (weights.defined()) {
    terms.weight = terms.weight * weights.index_select(0, safe.reshape(-1)).view_as(safe);
  }
  return terms;
}

at::Tensor WeightedMean(const at::Tensor& values, const at::Tensor& weight) {
  const at::Tensor sum = weight.sum();
  return (values * weight).sum() / at::where(sum.gt(0), sum, at::ones_like(sum));
}

// (1, C, 1, ...) class numbers, to compare with (N, 1, ...).
at::Tensor OneHot(const at::Tensor& target, int64_t classes) {
  const at::Tensor numbers = at::arange(classes, target.options()).view({1, -1, 1, 1});
  return target.unsqueeze(1).eq(numbers);  // ignored: no class at all
}

}  // namespace

at::Tensor CrossEntropy(const at::Tensor& logits, const at::Tensor& target,
                        const at::Tensor& weights, int64_t ignore) {
  const PixelTerms terms = TermsOf(logits, target, weights, ignore);
  return -WeightedMean(terms.log_p, terms.weight);
}

at::Tensor FocalLoss(const at::Tensor& logits, const at::Tensor& target, double gamma,
                     const at::Tensor& weights, int64_t ignore) {
  const PixelTerms terms = TermsOf(logits, target, weights, ignore);
  const at::Tensor miss = -at::expm1(terms.log_p);  // 1 - p, exact where p is near 1
  return -WeightedMean(at::pow(miss, gamma) * terms.log_p, terms.weight);
}

at::Tensor DiceLoss(const at::Tensor& logits, const at::Tensor& target, int64_t ignore) {
  const at::Tensor counts = target.ne(ignore).unsqueeze(1);
  const at::Tensor p = at::softmax(logits.to(at::kFloat), 1) * counts;
  const at::Tensor t = OneHot(target, logits.size(1)).to(at::kFloat);
  const at::Tensor both = (p * t).sum({0, 2, 3});
  const at::Tensor truth = t.sum({0, 2, 3});
  const at::Tensor present = truth.gt(0).to(at::kFloat);
  const at::Tensor dice = 2 * both / (p.sum({0, 2, 3}) + truth).clamp_min(1e-6);
  return (present * (1 - dice)).sum() / present.sum().clamp_min(1);
}

at::Tensor LovaszSoftmax(const at::Tensor& logits, const at::Tensor& target, bool per_image,
                         int64_t ignore) {
  const int64_t images = logits.size(0), classes = logits.size(1);
  // (groups, C, pixels): what is sorted together lies in the last dimension.
  auto arrange = [&](const at::Tensor& x) {
    return per_image ? x.reshape({images, x.size(1), -1})
                     : x.transpose(0, 1).reshape({1, x.size(1), -1});
  };
  const at::Tensor truth = arrange(OneHot(target, classes));
  const at::Tensor counts = arrange(target.ne(ignore).unsqueeze(1)).expand_as(truth);
  const at::Tensor p = arrange(at::softmax(logits.to(at::kFloat), 1));
  const at::Tensor errors = at::where(truth, 1 - p, p);
  // Ignored pixels sort behind all others and have no error there.
  const at::Tensor keys = errors.detach().masked_fill(counts.logical_not(), -1.0);
  const at::Tensor order =
      std::get<1>(at::sort(keys, /*stable=*/true, /*dim=*/-1, /*descending=*/true));
  const at::Tensor sorted = errors.masked_fill(counts.logical_not(), 0.0).gather(-1, order);

  // Gradient of the Lovász extension (Berman's algorithm 1): steps of 1 - IoU as pixels join.
  // Whole numbers in int64 and doubles: fp32 counts no further than 16 million pixels.
  const at::Tensor hit = truth.gather(-1, order).to(at::kLong);
  const at::Tensor miss = counts.gather(-1, order).to(at::kLong) - hit;
  const at::Tensor positives = hit.sum(-1, /*keepdim=*/true);
  const at::Tensor both = (positives - at::cumsum(hit, -1)).to(at::kDouble);
  const at::Tensor either = (positives + at::cumsum(miss, -1)).to(at::kDouble).clamp_min(1);
  const at::Tensor jaccard = 1 - both / either;
  const at::Tensor steps =
      at::cat({jaccard.narrow(-1, 0, 1), jaccard.narrow(-1, 1, jaccard.size(-1) - 1) -
                                             jaccard.narrow(-1, 0, jaccard.size(-1) - 1)},
              -1)
          .to(at::kFloat);

  const at::Tensor present = positives.squeeze(-1).gt(0).to(at::kFloat);  // (groups, C)
  const at::Tensor losses = (sorted * steps).sum(-1) * present;
  return (losses.sum(1) / present.sum(1).clamp_min(1)).mean();
}

at::Tensor SumOfLosses(const LossOptions& options, const at::Tensor& logits,
                       const at::Tensor& target, const at::Tensor& weights, int64_t ignore) {
  const at::Tensor scores = logits.to(at::kFloat);
  at::Tensor sum;
  auto add = [&](double factor, auto&& loss) {
    if (factor <= 0) return;
    const at::Tensor term = factor * loss();
    sum = sum.defined() ? sum + term : term;
  };
  add(options.ce, [&] { return CrossEntropy(scores, target, weights, ignore); });
  add(options.dice, [&] { return DiceLoss(scores, target, ignore); });
  add(options.focal,
      [&] { return FocalLoss(scores, target, options.focal_gamma, weights, ignore); });
  add(options.lovasz,
      [&] { return LovaszSoftmax(scores, target, options.lovasz_per_image, ignore); });
  return sum;
}

}  // namespace eosin::segment
