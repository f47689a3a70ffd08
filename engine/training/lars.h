// SPDX-License-Identifier: Apache-2.0
// LARS, layer-wise rates (You et al., arXiv 1708.03888), in the four forms that published
// self-supervised recipes mean by it. w weight, g gradient, v momentum buffer (0 at first), d
// weight decay, eta trust coefficient, m momentum; |.| the L2 norm of a whole tensor.
//
//   google   g' = g + d w;  t = eta |w| / |g'|, 1 where a norm is 0;  v = m v + lr t g';  w -= v
//            (google-research/simclr lars_optimizer.py: the rate is inside the buffer)
//   byol     g', t as google;  v = m v + t g';  w -= lr v
//            (deepmind-research byol/utils/optimizers.py; Barlow Twins and VICReg alike)
//   lightly  t = eta |w| / (|g| + d |w| + 1e-8);  v = m v + t (g + d w);  w -= lr v. Where a norm
//            or d is 0, plain g instead of t (g + d w). (lightly/utils/lars.py, after bolts)
//   solo     t = min(eta |w| / (|g| + d |w| + 1e-8) / lr, 1), the rest as lightly, with t also
//            where d is 0. (solo-learn solo/utils/lars.py with clip_lr, the clipping of LARC)
//
// Tensors that are not to be adapted take plain g in every form: no decay, t = 1. Nesterov: the
// step is taken along m v + (what was added to v). No host synchronisation: norms stay where the
// parameters are.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace eosin::engine {

enum class LarsDialect { kGoogle, kByol, kLightly, kSolo };

// "google", "byol", "lightly", "solo". Throws ConfigError on another word.
LarsDialect ParseLarsDialect(const std::string& word);

struct LarsStep {
  LarsDialect dialect = LarsDialect::kGoogle;
  double lr = 0;
  double momentum = 0.9;
  double weight_decay = 0;
  double eta = 1e-3;
  bool nesterov = false;
  bool adapt = true;  // false: plain g
};

// One update of `params` in place. `buffers` are the momenta, one a parameter (ignored and may be
// empty when momentum is 0). `grads` are only read.
void LarsUpdate(const LarsStep& step, std::vector<at::Tensor>& params,
                const std::vector<at::Tensor>& grads, std::vector<at::Tensor>& buffers);

}  // namespace eosin::engine
