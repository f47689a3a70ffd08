// SPDX-License-Identifier: Apache-2.0
// SimCLR (Chen et al., "A simple framework for contrastive learning of visual representations",
// arXiv 2002.05709): encoder, projector of two layers, NT-Xent over the batch's views.
#pragma once

#include "pretrain/heads.h"
#include "pretrain/method.h"

namespace eosin::pretrain {

class SimClr : public Method {
 public:
  SimClr(const PretrainOptions& options, engine::ResNet encoder);
  StepOutput Forward(const std::vector<at::Tensor>& groups) override;
  void AfterStep(double) override {}
  double ChanceLoss(int64_t batch) const override;
  Contrast contrast() const override { return {temperature_, 1.0}; }

 private:
  double temperature_;
  bool concat_views_;
  torch::nn::Sequential projector_;
};

}  // namespace eosin::pretrain
