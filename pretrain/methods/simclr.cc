// SPDX-License-Identifier: Apache-2.0
// SimCLR (Chen et al., "A simple framework for contrastive learning of visual representations",
// arXiv 2002.05709; v2 2006.10029): encoder, projector, NT-Xent over the batch's views.
//
// With local crops the loss is the mean of NT-Xent over all pairs (global view, other view): with
// K local views an image, 1 + 2K pairs.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <cmath>

#include "pretrain/heads.h"
#include "pretrain/losses.h"
#include "pretrain/method.h"
#include "pretrain/protocols.h"

namespace eosin::pretrain {
namespace {

struct SimClrOptions : CloneableOptions<SimClrOptions> {
  double temperature = 0.5;
  std::string loss = "mean";  // mean | sum
  int64_t layers = 2;
  int64_t hidden = 0;  // 0 = the encoder's feature dimension
  int64_t out = 128;
  bool batch_norm = true;
  std::string out_norm = "affine";  // affine | scale | plain; with batch_norm

  void Bind(core::OptionSet& set, const std::string& prefix) override;
  std::unique_ptr<Method> Make(const MethodSetup& setup) const override;
};

void SimClrOptions::Bind(core::OptionSet& set, const std::string& prefix) {
  set.Add(prefix + ".temperature", &temperature, {.doc = "of NT-Xent", .min = 1e-3, .max = 100});
  set.Add(prefix + ".loss", &loss,
          {.doc = "over the two directions of a pair: mean (lightly, solo) or sum (google)",
           .choices = {"mean", "sum"}});
  set.Add(prefix + ".layers", &layers,
          {.doc = "linear layers of the projector: 2, or 3 (SimCLR v2)", .min = 1, .max = 8});
  set.Add(prefix + ".hidden", &hidden,
          {.doc = "projector width, 0 = the encoder's features", .min = 0, .max = 65536});
  set.Add(prefix + ".out", &out, {.doc = "projection dimensions", .min = 2, .max = 65536});
  set.Add(prefix + ".batch_norm", &batch_norm,
          {.doc = "BatchNorm after each projector layer, the last one too; off: biases instead"});
  set.Add(prefix + ".out_norm", &out_norm,
          {.doc = "what the last BatchNorm learns: factor and offset, factor (google), nothing",
           .choices = {"affine", "scale", "plain"}});
}

class SimClr : public Method {
 public:
  SimClr(const SimClrOptions& options, const MethodSetup& setup)
      : Method(setup.encoder),
        temperature_(options.temperature),
        scale_(options.loss == "sum" ? 2.0 : 1.0),
        concat_views_(setup.concat_views) {
    HeadOptions head;
    head.in = encoder_->feature_dim();
    head.hidden = options.hidden > 0 ? options.hidden : head.in;
    head.out = options.out;
    head.layers = options.layers;
    head.hidden_norm = options.batch_norm ? HeadNorm::kAffine : HeadNorm::kNone;
    head.out_norm = options.batch_norm ? ParseHeadNorm(options.out_norm) : HeadNorm::kNone;
    head.hidden_bias = head.out_bias = !options.batch_norm;
    projector_ = MakeHead(head, setup.seed, "projector");
    parts_ = {{"encoder", encoder_.ptr()}, {"projector", projector_.ptr()}};
  }

  StepOutput Forward(const std::vector<at::Tensor>& groups) override;
  void AfterStep(double) override {}
  double ChanceLoss(int64_t batch) const override {
    return scale_ * std::log(2.0 * static_cast<double>(batch) - 1.0);
  }
  Contrast contrast() const override { return {temperature_, scale_}; }

 private:
  double temperature_, scale_;
  bool concat_views_;
  torch::nn::Sequential projector_;
};

std::unique_ptr<Method> SimClrOptions::Make(const MethodSetup& setup) const {
  return std::make_unique<SimClr>(*this, setup);
}

StepOutput SimClr::Forward(const std::vector<at::Tensor>& groups) {
  const int64_t n = groups.at(0).size(0) / 2;
  std::vector<at::Tensor> views;  // (N, D) each, global ones first
  at::Tensor embedding;
  for (const at::Tensor& group : groups) {
    std::vector<at::Tensor> z;
    for (const at::Tensor& input : SplitViews(group, n, concat_views_)) {
      z.push_back(projector_->forward(encoder_->forward(input)));
    }
    const at::Tensor rows = at::cat(z);
    if (views.empty()) embedding = rows;
    for (const at::Tensor& view : rows.split(n)) views.push_back(view);
  }
  at::Tensor loss = NtXent(embedding, temperature_);
  for (size_t local = 2; local < views.size(); ++local) {
    for (size_t global = 0; global < 2; ++global) {
      loss = loss + NtXent(at::cat({views[global], views[local]}), temperature_);
    }
  }
  const auto pairs = static_cast<double>(1 + 2 * (views.size() - 2));
  return {loss * (scale_ / pairs), embedding.detach()};
}

// Presets. lr means lr * batch / 256 unless the scale says otherwise.

SimClrOptions& Own(PretrainOptions& options) { return options.methods.As<SimClrOptions>("simclr"); }

// SGD copes with the small batches of a few thousand tiles; views after pathology's practice:
// weaker colour, stain jitter, all quarter turns and mirrors (tiles have no up).
void Histology(PretrainOptions& o) {
  o.SetViews("histology", "histology", 224);
  o.optimizer.lr = 0.12;
  o.schedule.warmup_epochs = 10;
}

// google-research/simclr, its README and the defaults of run.py, model_util.py.
void Google(PretrainOptions& o) {
  o.SetViews("simclr", "simclr", 224);
  o.zero_init_residual = true;
  o.batch = 4096;
  o.epochs = 100;
  o.optimizer.name = "lars";
  o.optimizer.lars_dialect = "google";
  o.optimizer.lr = 0.075;  // or 0.3 with scale = linear: equal at batch 4096
  o.schedule.scale = "sqrt";
  o.schedule.dialect = "google";
  o.schedule.warmup_epochs = 10;
  o.optimizer.weight_decay = 1e-4;  // the paper says 1e-6
  SimClrOptions& own = Own(o);
  own.temperature = 0.1;
  own.loss = "sum";
  own.layers = 3;
  own.out_norm = "scale";
}

// The same README's CIFAR-10 command: "around 91 %" after 1000 epochs.
void GoogleCifar(PretrainOptions& o) {
  Google(o);
  o.SetViews("simclr_cifar", "simclr_cifar", 32);
  o.arch = "resnet18";
  o.batch = 512;
  o.epochs = 1000;
  o.optimizer.lr = 1.0;
  o.schedule.scale = "linear";
  Own(o).temperature = 0.5;
}

// lightly benchmarks/imagenet/resnet50/simclr.py.
void Lightly(PretrainOptions& o) {
  o.SetViews("simclr", "simclr", 224);
  o.batch = 256;
  o.epochs = 100;
  o.optimizer.name = "lars";
  o.optimizer.lars_dialect = "lightly";
  o.optimizer.lr = 0.075;
  o.optimizer.weight_decay = 1e-6;
  o.schedule.scale = "sqrt";
  o.schedule.dialect = "lightly";
  o.schedule.warmup_epochs = 10;
  o.schedule.final_share = 0.001;
  SimClrOptions& own = Own(o);
  own.temperature = 0.1;
  own.hidden = 2048;
}

// kNN 84.8 at batch 512 after 200 epochs.
void LightlyCifar(PretrainOptions& o) {
  LightlyCifarProtocol(o);
  o.SetViews("simclr_cifar", "simclr_cifar", 32);
  Own(o).hidden = 512;
}

// simclr.yaml, augmentations/symmetric.yaml.
void SoloCifar(PretrainOptions& o) {
  SoloCifarProtocol(o);
  o.SetViews("solo_symmetric", "solo_symmetric", 32);
  o.optimizer.lr = 0.4;
  o.optimizer.weight_decay = 1e-4;
  SimClrOptions& own = Own(o);
  own.temperature = 0.2;
  own.hidden = 2048;
  own.out = 256;
  own.batch_norm = false;
}

// The SimCLR that the SimSiam paper (arXiv 2011.10566, appendix D) compares with on CIFAR-10: SGD,
// decay of all parameters, no warm-up, crops from 0.2; 91.1 % after 800 epochs.
void SimSiamCifar(PretrainOptions& o) {
  o.SetViews("simclr_cifar", "simclr_cifar", 32);
  o.view_a.crop_scale_min = o.view_b.crop_scale_min = 0.2;
  o.arch = "resnet18";
  o.batch = 512;
  o.epochs = 800;
  o.optimizer.lr = 0.03;
  o.optimizer.weight_decay = 5e-4;
  o.optimizer.exclude_bias_and_norm = false;
}

// No BatchNorm in the head 2048-512-128.
void Stl10(PretrainOptions& o) {
  Stl10Protocol(o);
  SimClrOptions& own = Own(o);
  own.hidden = 512;
  own.batch_norm = false;
}

const bool kRegistered = RegisterMethod(
    {.name = "simclr",
     .summary = "contrast of two views against the batch (Chen 2020)",
     .make_options = [] { return std::make_unique<SimClrOptions>(); },
     .presets = {
         {"simclr-histology", "tiles of slides: SGD, stain jitter, quarter turns", Histology},
         {"simclr-google",
          "ImageNet, google-research/simclr: LARS, batch 4096, 3-layer head",
          Google,
          {"simclr-natural"}},
         {"simclr-google-cifar", "CIFAR-10, the same code: LARS 1.0, 1000 epochs", GoogleCifar},
         {"simclr-lightly", "ImageNet, lightly's benchmark: its LARS, batch 256", Lightly},
         {"simclr-lightly-cifar",
          "CIFAR-10, lightly's benchmark: SGD, batch 512, 200 epochs",
          LightlyCifar,
          {"simclr-cifar"}},
         {"simclr-solo-cifar", "CIFAR-10, solo-learn: its LARS, batch 256, 1000 epochs", SoloCifar},
         {"simclr-simsiam-cifar", "CIFAR-10, the SimSiam paper's baseline: SGD, 800 epochs",
          SimSiamCifar},
         {"stl10-baseline",
          "STL-10 at 96 px: ResNet-50, Adam 3e-4, batch 128, 100 epochs",
          Stl10,
          {"simclr-stl10"}}}});

}  // namespace
}  // namespace eosin::pretrain
