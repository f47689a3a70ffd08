// SPDX-License-Identifier: Apache-2.0
#include "pretrain/byol.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/cat.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include "engine/training/schedule.h"
#include "pretrain/losses.h"

namespace eosin::pretrain {
namespace {

// The target is never trained and its running statistics come from the average alone.
void MakeTarget(torch::nn::Module& module) {
  for (at::Tensor& parameter : module.parameters()) parameter.set_requires_grad(false);
  for (const auto& child : module.modules()) {
    if (auto* norm = child->as<torch::nn::BatchNorm1dImpl>()) norm->options.momentum(0.0);
    if (auto* norm = child->as<torch::nn::BatchNorm2dImpl>()) norm->options.momentum(0.0);
  }
}

void MoveTowards(torch::nn::Module& target, const torch::nn::Module& online, double weight) {
  std::vector<at::Tensor> to = target.parameters(), from = online.parameters();
  const std::vector<at::Tensor> to_buffers = target.buffers(), from_buffers = online.buffers();
  for (size_t i = 0; i < to_buffers.size(); ++i) {
    if (to_buffers[i].is_floating_point()) {
      to.push_back(to_buffers[i]);
      from.push_back(from_buffers[i]);
    } else {
      to_buffers[i].copy_(from_buffers[i]);  // num_batches_tracked
    }
  }
  at::_foreach_lerp_(to, from, weight);
}

}  // namespace

Byol::Byol(const PretrainOptions& options, engine::ResNet encoder)
    : Method(encoder), ema_base_(options.byol_ema), concat_views_(options.concat_views) {
  HeadOptions head;
  head.in = encoder_->feature_dim();
  head.hidden = options.byol_hidden;
  head.out = options.byol_out;
  projector_ = MakeHead(head, options.seed(), "projector");
  head.in = options.byol_out;
  predictor_ = MakeHead(head, options.seed(), "predictor");
  target_encoder_ =
      engine::ResNet(std::dynamic_pointer_cast<engine::ResNetImpl>(encoder_->clone()));
  target_projector_ = torch::nn::Sequential(
      std::dynamic_pointer_cast<torch::nn::SequentialImpl>(projector_->clone()));
  MakeTarget(*target_encoder_);
  MakeTarget(*target_projector_);
  parts_ = {{"encoder", encoder_.ptr()},
            {"projector", projector_.ptr()},
            {"predictor", predictor_.ptr()},
            {"target_encoder", target_encoder_.ptr()},
            {"target_projector", target_projector_.ptr()}};
  frozen_parts_ = {"target_encoder", "target_projector"};
}

StepOutput Byol::Forward(const std::vector<at::Tensor>& groups) {
  const at::Tensor& views = groups.at(0);
  const int64_t n = views.size(0) / 2;
  std::vector<at::Tensor> targets, projections, predictions;
  for (const at::Tensor& input : concat_views_ ? std::vector<at::Tensor>{views} : views.split(n)) {
    {
      const at::NoGradGuard no_grad;
      targets.push_back(target_projector_->forward(target_encoder_->forward(input)));
    }
    projections.push_back(projector_->forward(encoder_->forward(input)));
    predictions.push_back(predictor_->forward(projections.back()));
  }
  const at::Tensor target = at::cat(targets), prediction = at::cat(predictions);
  const at::Tensor loss = ByolLoss(prediction.narrow(0, 0, n), target.narrow(0, n, n)) +
                          ByolLoss(prediction.narrow(0, n, n), target.narrow(0, 0, n));
  return {loss, at::cat(projections).detach()};
}

void Byol::AfterStep(double progress) {
  const at::NoGradGuard no_grad;
  const double weight = 1.0 - engine::EmaMomentum(ema_base_, progress);
  MoveTowards(*target_encoder_, *encoder_, weight);
  MoveTowards(*target_projector_, *projector_, weight);
}

}  // namespace eosin::pretrain
