// SPDX-License-Identifier: Apache-2.0
// BYOL (Grill et al., "Bootstrap your own latent", arXiv 2006.07733): an online network predicts
// the projection that a slowly moving average of itself, the target, gives of the other view.
//
// With local crops, each of them predicts both global targets; the loss is twice the mean over all
// (prediction, target) pairs, which is the paper's sum when there are no local crops.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/cat.h>
#include <torch/nn/modules/batchnorm.h>

#include "engine/training/schedule.h"
#include "pretrain/heads.h"
#include "pretrain/losses.h"
#include "pretrain/method.h"
#include "pretrain/protocols.h"

namespace eosin::pretrain {
namespace {

struct ByolOptions : CloneableOptions<ByolOptions> {
  int64_t hidden = 4096;
  int64_t out = 256;
  bool hidden_bias = true, out_bias = false;
  bool predictor = true;
  int64_t predictor_hidden = 0;  // 0 = hidden
  double predictor_lr_factor = 1;
  std::string loss = "sum";  // sum | cosine
  double ema = 0.99;
  std::string ema_schedule = "cosine";  // cosine | constant
  std::string ema_buffers = "average";  // average | own

  void Bind(core::OptionSet& set, const std::string& prefix) override;
  std::unique_ptr<Method> Make(const MethodSetup& setup) const override;
};

void ByolOptions::Bind(core::OptionSet& set, const std::string& prefix) {
  set.Add(prefix + ".hidden", &hidden,
          {.doc = "width of projector and predictor", .min = 2, .max = 65536});
  set.Add(prefix + ".out", &out, {.doc = "projection dimensions", .min = 2, .max = 65536});
  set.Add(prefix + ".hidden_bias", &hidden_bias,
          {.doc = "bias of the heads' first layer (lightly: off)"});
  set.Add(prefix + ".out_bias", &out_bias, {.doc = "bias of the heads' last layer (lightly: on)"});
  set.Add(prefix + ".predictor", &predictor,
          {.doc = "off: the projection itself is compared, which is known to collapse"});
  set.Add(prefix + ".predictor_hidden", &predictor_hidden,
          {.doc = "width of the predictor, 0 = as the projector", .min = 0, .max = 65536});
  set.Add(prefix + ".predictor_lr_factor", &predictor_lr_factor,
          {.doc = "the predictor's learning rate over that of the rest", .min = 0, .max = 1000});
  set.Add(prefix + ".loss", &loss,
          {.doc = "sum: 2 - 2 cos, both directions added; cosine: mean of 1 - cos, a quarter of it "
                  "(lightly)",
           .choices = {"sum", "cosine"}});
  set.Add(prefix + ".ema", &ema, {.doc = "first momentum of the target", .min = 0, .max = 1});
  set.Add(
      prefix + ".ema_schedule", &ema_schedule,
      {.doc = "the momentum rises to 1 by a cosine, or stays", .choices = {"cosine", "constant"}});
  set.Add(prefix + ".ema_buffers", &ema_buffers,
          {.doc = "the target's BatchNorm statistics: average of the online ones, or its own; "
                  "training does not see them",
           .choices = {"average", "own"}});
}

class Byol : public Method {
 public:
  Byol(const ByolOptions& options, const MethodSetup& setup);
  StepOutput Forward(const std::vector<at::Tensor>& groups) override;
  // Moves the target: target += (1 - m) (online - target).
  void AfterStep(double progress) override;
  // cos = 0: 2 - 2 cos in both directions.
  double ChanceLoss(int64_t) const override { return 4.0 * scale_; }

 private:
  at::Tensor Predict(const at::Tensor& projection) {
    return options_.predictor ? predictor_->forward(projection) : projection;
  }

  ByolOptions options_;
  double scale_;
  bool concat_views_;
  torch::nn::Sequential projector_, predictor_{nullptr}, target_projector_;
  engine::ResNet target_encoder_{nullptr};
};

std::unique_ptr<Method> ByolOptions::Make(const MethodSetup& setup) const {
  return std::make_unique<Byol>(*this, setup);
}

// The target is never trained. With averaged statistics its own forward passes leave them alone.
void MakeTarget(torch::nn::Module& module, bool own_statistics) {
  for (at::Tensor& parameter : module.parameters()) parameter.set_requires_grad(false);
  if (own_statistics) return;
  for (const auto& child : module.modules()) {
    if (auto* norm = child->as<torch::nn::BatchNorm1dImpl>()) norm->options.momentum(0.0);
    if (auto* norm = child->as<torch::nn::BatchNorm2dImpl>()) norm->options.momentum(0.0);
  }
}

void MoveTowards(torch::nn::Module& target, const torch::nn::Module& online, double weight,
                 bool own_statistics) {
  std::vector<at::Tensor> to = target.parameters(), from = online.parameters();
  if (!own_statistics) {
    const std::vector<at::Tensor> to_buffers = target.buffers(), from_buffers = online.buffers();
    for (size_t i = 0; i < to_buffers.size(); ++i) {
      if (to_buffers[i].is_floating_point()) {
        to.push_back(to_buffers[i]);
        from.push_back(from_buffers[i]);
      } else {
        to_buffers[i].copy_(from_buffers[i]);  // num_batches_tracked
      }
    }
  }
  at::_foreach_lerp_(to, from, weight);
}

Byol::Byol(const ByolOptions& options, const MethodSetup& setup)
    : Method(setup.encoder),
      options_(options),
      scale_(options.loss == "sum" ? 1.0 : 0.25),
      concat_views_(setup.concat_views) {
  HeadOptions head;
  head.in = encoder_->feature_dim();
  head.hidden = options.hidden;
  head.out = options.out;
  head.hidden_bias = options.hidden_bias;
  head.out_bias = options.out_bias;
  projector_ = MakeHead(head, setup.seed, "projector");
  target_encoder_ =
      engine::ResNet(std::dynamic_pointer_cast<engine::ResNetImpl>(encoder_->clone()));
  target_projector_ = torch::nn::Sequential(
      std::dynamic_pointer_cast<torch::nn::SequentialImpl>(projector_->clone()));
  const bool own_statistics = options.ema_buffers == "own";
  MakeTarget(*target_encoder_, own_statistics);
  MakeTarget(*target_projector_, own_statistics);
  parts_ = {{"encoder", encoder_.ptr()},
            {"projector", projector_.ptr()},
            {"target_encoder", target_encoder_.ptr()},
            {"target_projector", target_projector_.ptr()}};
  if (options.predictor) {
    head.in = options.out;
    if (options.predictor_hidden > 0) head.hidden = options.predictor_hidden;
    predictor_ = MakeHead(head, setup.seed, "predictor");
    parts_["predictor"] = predictor_.ptr();
  }
  frozen_parts_ = {"target_encoder", "target_projector"};
  lr_scales_ = {{"predictor", options.predictor_lr_factor}};
}

StepOutput Byol::Forward(const std::vector<at::Tensor>& groups) {
  const int64_t n = groups.at(0).size(0) / 2;
  std::vector<at::Tensor> targets, projections, predictions;
  for (const at::Tensor& input : SplitViews(groups[0], n, concat_views_)) {
    {
      const at::NoGradGuard no_grad;
      targets.push_back(target_projector_->forward(target_encoder_->forward(input)));
    }
    projections.push_back(projector_->forward(encoder_->forward(input)));
    predictions.push_back(Predict(projections.back()));
  }
  for (size_t g = 1; g < groups.size(); ++g) {
    for (const at::Tensor& input : SplitViews(groups[g], n, concat_views_)) {
      predictions.push_back(Predict(projector_->forward(encoder_->forward(input))));
    }
  }
  const std::vector<at::Tensor> target = at::cat(targets).split(n);
  const std::vector<at::Tensor> prediction = at::cat(predictions).split(n);
  at::Tensor loss = ByolLoss(prediction[0], target[1]) + ByolLoss(prediction[1], target[0]);
  for (size_t local = 2; local < prediction.size(); ++local) {
    loss = loss + ByolLoss(prediction[local], target[0]) + ByolLoss(prediction[local], target[1]);
  }
  const auto pairs = static_cast<double>(2 * (prediction.size() - 1));
  return {loss * (scale_ * 2.0 / pairs), at::cat(projections).detach()};
}

void Byol::AfterStep(double progress) {
  const at::NoGradGuard no_grad;
  const double momentum = options_.ema_schedule == "cosine"
                              ? engine::EmaMomentum(options_.ema, progress)
                              : options_.ema;
  const bool own_statistics = options_.ema_buffers == "own";
  MoveTowards(*target_encoder_, *encoder_, 1.0 - momentum, own_statistics);
  MoveTowards(*target_projector_, *projector_, 1.0 - momentum, own_statistics);
}

// Presets. lr means lr * batch / 256.

ByolOptions& Own(PretrainOptions& options) { return options.methods.As<ByolOptions>("byol"); }

// As simclr-histology.
void Histology(PretrainOptions& o) {
  o.SetViews("histology", "histology", 224);
  o.optimizer.lr = 0.1;
  o.schedule.warmup_epochs = 10;
}

// deepmind-research/byol configs/byol.py: tables by number of epochs; one forward pass a view.
void Paper(PretrainOptions& o, int64_t epochs, double lr, double decay, double ema) {
  o.SetViews("byol_a", "byol_b", 224);
  o.zero_init_residual = true;
  o.batch = 4096;
  o.epochs = epochs;
  o.concat_views = false;
  o.optimizer.name = "lars";
  o.optimizer.lars_dialect = "byol";
  o.optimizer.lr = lr;
  o.optimizer.weight_decay = decay;
  o.schedule.dialect = "google";
  o.schedule.warmup_epochs = 10;
  ByolOptions& own = Own(o);
  own.ema = ema;
  own.ema_buffers = "own";
}

// kNN 86.8 at batch 512 after 200 epochs; the momentum is constant. Views: the script's
// byol_transform, BYOL's own two without blur (it once had SimCLR's).
void LightlyCifar(PretrainOptions& o) {
  LightlyCifarProtocol(o);
  o.SetViews("byol_cifar_a", "byol_cifar_b", 32);
  ByolOptions& own = Own(o);
  own.hidden = 1024;
  own.hidden_bias = false;
  own.out_bias = true;
  own.loss = "cosine";
  own.ema_schedule = "constant";
  own.ema_buffers = "own";
}

// byol.yaml, augmentations/asymmetric.yaml: no blur.
void SoloCifar(PretrainOptions& o) {
  SoloCifarProtocol(o);
  o.SetViews("solo_asymmetric_a", "solo_asymmetric_b", 32);
  o.optimizer.lr = 1.0;
  o.optimizer.weight_decay = 1e-5;
  ByolOptions& own = Own(o);
  own.out_bias = true;
  own.ema_buffers = "own";
}

const bool kRegistered = RegisterMethod(
    {.name = "byol",
     .summary = "prediction of a moving average's projection, no negatives (Grill 2020)",
     .make_options = [] { return std::make_unique<ByolOptions>(); },
     .presets = {
         {"byol-histology", "tiles of slides: SGD, stain jitter, quarter turns", Histology},
         {"byol-100",
          "ImageNet, the paper's code for 100 epochs: LARS 0.45, batch 4096",
          [](PretrainOptions& o) { Paper(o, 100, 0.45, 1e-6, 0.99); },
          {"byol-natural"}},
         {"byol-300", "the same for 300 epochs: LARS 0.3",
          [](PretrainOptions& o) { Paper(o, 300, 0.3, 1e-6, 0.99); }},
         {"byol-1000", "the same for 1000 epochs: LARS 0.2, momentum from 0.996",
          [](PretrainOptions& o) { Paper(o, 1000, 0.2, 1.5e-6, 0.996); }},
         {"byol-lightly-cifar",
          "CIFAR-10, lightly's benchmark: SGD, batch 512, 200 epochs",
          LightlyCifar,
          {"byol-cifar"}},
         {"byol-solo-cifar", "CIFAR-10, solo-learn: its LARS, batch 256, 1000 epochs", SoloCifar},
         {"byol-stl10", "STL-10 by the protocol of stl10-baseline; ours, not published",
          Stl10Protocol}}});

}  // namespace
}  // namespace eosin::pretrain
