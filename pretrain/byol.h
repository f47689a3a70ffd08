// SPDX-License-Identifier: Apache-2.0
// BYOL (Grill et al., "Bootstrap your own latent", arXiv 2006.07733): an online network predicts
// the projection that a slowly moving average of itself, the target, gives of the other view.
// The average covers BatchNorm's running statistics too; the target normalises by the batch.
#pragma once

#include "pretrain/heads.h"
#include "pretrain/method.h"

namespace eosin::pretrain {

class Byol : public Method {
 public:
  Byol(const PretrainOptions& options, engine::ResNet encoder);
  StepOutput Forward(const std::vector<at::Tensor>& groups) override;
  // Moves the target: target += (1 - m) (online - target), m from the cosine schedule.
  void AfterStep(double progress) override;
  double ChanceLoss(int64_t) const override { return 4.0; }  // cos = 0, both directions summed

 private:
  double ema_base_;
  bool concat_views_;
  torch::nn::Sequential projector_, predictor_, target_projector_;
  engine::ResNet target_encoder_{nullptr};
};

}  // namespace eosin::pretrain
