// SPDX-License-Identifier: Apache-2.0
#include "pretrain/simclr.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <torch/nn/modules/linear.h>
#include <cmath>

#include "pretrain/losses.h"

namespace eosin::pretrain {

SimClr::SimClr(const PretrainOptions& options, engine::ResNet encoder)
    : Method(encoder), temperature_(options.temperature), concat_views_(options.concat_views) {
  const int64_t dim = encoder_->feature_dim();
  HeadOptions head;
  head.in = dim;
  head.hidden = options.simclr_hidden > 0 ? options.simclr_hidden : dim;
  head.out = options.simclr_out;
  head.hidden_norm = head.out_norm = options.simclr_batch_norm;
  head.hidden_bias = head.out_bias = !options.simclr_batch_norm;
  projector_ = MakeHead(head, options.seed(), "projector");
  parts_ = {{"encoder", encoder_.ptr()}, {"projector", projector_.ptr()}};
}

StepOutput SimClr::Forward(const std::vector<at::Tensor>& groups) {
  const at::Tensor& views = groups.at(0);
  std::vector<at::Tensor> z;
  const int64_t n = views.size(0) / 2;
  for (const at::Tensor& input : concat_views_ ? std::vector<at::Tensor>{views} : views.split(n)) {
    z.push_back(projector_->forward(encoder_->forward(input)));
  }
  const at::Tensor embedding = at::cat(z);
  return {NtXent(embedding, temperature_), embedding.detach()};
}

double SimClr::ChanceLoss(int64_t batch) const {
  return std::log(2.0 * static_cast<double>(batch) - 1.0);
}

}  // namespace eosin::pretrain
