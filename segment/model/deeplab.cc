// SPDX-License-Identifier: Apache-2.0
#include "segment/model/deeplab.h"

#include <algorithm>
#include <string>

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include "core/base/error.h"
#include "engine/models/init.h"

namespace eosin::segment {

namespace nn = torch::nn;

namespace {

nn::Conv2d Conv(int64_t in, int64_t out, int64_t kernel, int64_t dilation = 1, bool bias = false) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel)
                        .padding(dilation * (kernel / 2))
                        .dilation(dilation)
                        .bias(bias));
}

// Children "0" convolution and "1" batch norm, then ReLU: a row of torchvision's Sequentials.
class ConvBnImpl : public nn::Cloneable<ConvBnImpl> {
 public:
  ConvBnImpl(int64_t in, int64_t out, int64_t kernel, int64_t dilation)
      : in_(in), out_(out), kernel_(kernel), dilation_(dilation) {
    reset();
  }
  void reset() override {
    conv_ = register_module("0", Conv(in_, out_, kernel_, dilation_));
    norm_ = register_module("1", nn::BatchNorm2d(out_));
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor out = norm_->forward(conv_->forward(x));
    return at::relu_(out);
  }

 private:
  int64_t in_, out_, kernel_, dilation_;
  nn::Conv2d conv_{nullptr};
  nn::BatchNorm2d norm_{nullptr};
};

// Image pooling: mean over the map, 1x1, batch norm, ReLU, spread over the map again.
class PoolBranchImpl : public nn::Cloneable<PoolBranchImpl> {
 public:
  PoolBranchImpl(int64_t in, int64_t out) : in_(in), out_(out) { reset(); }
  void reset() override {
    conv_ = register_module("1", Conv(in_, out_, 1));
    norm_ = register_module("2", nn::BatchNorm2d(out_));
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor out = conv_->forward(x.mean({2, 3}, /*keepdim=*/true));
    if (is_training() && x.size(0) == 1) {  // one value a channel has no variance
      out = at::batch_norm(out, norm_->weight, norm_->bias, norm_->running_mean, norm_->running_var,
                           /*training=*/false, /*momentum=*/0.1, norm_->options.eps(),
                           /*cudnn_enabled=*/true);
    } else {
      out = norm_->forward(out);
    }
    at::relu_(out);
    // Bilinear from 1x1 is a constant.
    return out.expand({-1, -1, x.size(2), x.size(3)});
  }

 private:
  int64_t in_, out_;
  nn::Conv2d conv_{nullptr};
  nn::BatchNorm2d norm_{nullptr};
};

// Children "0" 1x1, "1".."n" dilated 3x3, "n+1" pool; their outputs side by side.
class BranchesImpl : public nn::Cloneable<BranchesImpl> {
 public:
  BranchesImpl(int64_t in, int64_t out, std::vector<int64_t> rates)
      : in_(in), out_(out), rates_(std::move(rates)) {
    reset();
  }
  void reset() override {
    convs_ = {register_module("0", std::make_shared<ConvBnImpl>(in_, out_, 1, 1))};
    for (const int64_t rate : rates_) {
      convs_.push_back(register_module(std::to_string(convs_.size()),
                                       std::make_shared<ConvBnImpl>(in_, out_, 3, rate)));
    }
    pool_ =
        register_module(std::to_string(convs_.size()), std::make_shared<PoolBranchImpl>(in_, out_));
  }
  at::Tensor forward(const at::Tensor& x) {
    std::vector<at::Tensor> parts;
    for (auto& conv : convs_) parts.push_back(conv->forward(x));
    parts.push_back(pool_->forward(x));
    return at::cat(parts, 1);
  }

 private:
  int64_t in_, out_;
  std::vector<int64_t> rates_;
  std::vector<std::shared_ptr<ConvBnImpl>> convs_;
  std::shared_ptr<PoolBranchImpl> pool_;
};

class AsppImpl : public nn::Cloneable<AsppImpl> {
 public:
  AsppImpl(int64_t in, const DeepLabOptions& options) : in_(in), options_(options) { reset(); }
  void reset() override {
    const int64_t out = options_.head_channels;
    convs_ = register_module("convs", std::make_shared<BranchesImpl>(in_, out, options_.rates));
    const auto parts = static_cast<int64_t>(options_.rates.size()) + 2;
    project_ = register_module("project", std::make_shared<ConvBnImpl>(parts * out, out, 1, 1));
  }
  at::Tensor forward(const at::Tensor& x) {
    return at::dropout(project_->forward(convs_->forward(x)), options_.dropout, is_training());
  }

 private:
  int64_t in_;
  DeepLabOptions options_;
  std::shared_ptr<BranchesImpl> convs_;
  std::shared_ptr<ConvBnImpl> project_;
};

}  // namespace

// Children "0" ASPP, "1" 3x3, "2" batch norm, "4" 1x1 to the classes.
class DeepLabHeadImpl : public nn::Cloneable<DeepLabHeadImpl> {
 public:
  DeepLabHeadImpl(int64_t in, const DeepLabOptions& options) : in_(in), options_(options) {
    reset();
  }
  void reset() override {
    const int64_t width = options_.head_channels;
    aspp_ = register_module("0", std::make_shared<AsppImpl>(in_, options_));
    conv_ = register_module("1", Conv(width, width, 3));
    norm_ = register_module("2", nn::BatchNorm2d(width));
    last_ = register_module("4", Conv(width, options_.classes, 1, 1, /*bias=*/true));
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor out = norm_->forward(conv_->forward(aspp_->forward(x)));
    return last_->forward(at::relu_(out));
  }

 private:
  int64_t in_;
  DeepLabOptions options_;
  std::shared_ptr<AsppImpl> aspp_;
  nn::Conv2d conv_{nullptr}, last_{nullptr};
  nn::BatchNorm2d norm_{nullptr};
};

// torchvision's FCNHead. Children "0" 3x3 to a quarter of the channels, "1" batch norm, "4" 1x1.
class FcnHeadImpl : public nn::Cloneable<FcnHeadImpl> {
 public:
  FcnHeadImpl(int64_t in, int64_t classes) : in_(in), classes_(classes) { reset(); }
  void reset() override {
    const int64_t width = std::max<int64_t>(in_ / 4, 1);
    conv_ = register_module("0", Conv(in_, width, 3));
    norm_ = register_module("1", nn::BatchNorm2d(width));
    last_ = register_module("4", Conv(width, classes_, 1, 1, /*bias=*/true));
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor out = norm_->forward(conv_->forward(x));
    return last_->forward(at::dropout(at::relu_(out), 0.1, is_training()));
  }

 private:
  int64_t in_, classes_;
  nn::Conv2d conv_{nullptr}, last_{nullptr};
  nn::BatchNorm2d norm_{nullptr};
};

void DeepLabOptions::Check() const {
  backbone.Check();
  if (backbone.num_classes != 0) {
    throw core::ConfigError("a segmentation backbone has no fc", "set num_classes to 0");
  }
  if (classes < 1) throw core::ConfigError("classes must be at least 1", "count the mask values");
  if (head_channels < 1) {
    throw core::ConfigError("head_channels must be at least 1", "256 is the standard head");
  }
  if (dropout < 0 || dropout >= 1) {
    throw core::ConfigError("dropout must be in [0, 1)", "0.5 is the standard head");
  }
  if (rates.empty() || std::any_of(rates.begin(), rates.end(), [](auto r) { return r < 1; })) {
    throw core::ConfigError("rates must be dilations of at least 1", "use 12,24,36 or less");
  }
}

DeepLabV3Impl::DeepLabV3Impl(DeepLabOptions options) : options_(std::move(options)) {
  options_.Check();
  reset();
}

void DeepLabV3Impl::reset() {
  backbone_ = register_module("backbone", engine::ResNet(options_.backbone));
  classifier_ = register_module(
      "classifier", std::make_shared<DeepLabHeadImpl>(backbone_->feature_dim(), options_));
  aux_classifier_ = nullptr;
  if (options_.aux) {
    aux_classifier_ = register_module(
        "aux_classifier",
        std::make_shared<FcnHeadImpl>(backbone_->stage_channels(3), options_.classes));
  }
}

DeepLabOutput DeepLabV3Impl::forward(const at::Tensor& x) {
  const auto& backbone = options_.backbone;
  const int64_t stride = backbone.output_stride / (backbone.stem == "cifar" ? 4 : 1);
  if (is_training() && x.size(0) == 1 && x.size(2) <= stride && x.size(3) <= stride) {
    throw core::ConfigError("one image this small leaves a single value to normalise by",
                            "train on larger crops or more images a batch");
  }
  const std::vector<at::Tensor> stages = backbone_->forward_stages(x);
  auto enlarge = [&](const at::Tensor& logits) {
    return at::upsample_bilinear2d(logits, x.sizes().slice(2), /*align_corners=*/false);
  };
  DeepLabOutput output;
  output.out = enlarge(classifier_->forward(stages.back()));
  if (aux_classifier_) output.aux = enlarge(aux_classifier_->forward(stages[3]));
  return output;
}

std::vector<std::shared_ptr<nn::Module>> DeepLabV3Impl::HeadModules() const {
  if (aux_classifier_) return {classifier_, aux_classifier_};
  return {classifier_};
}

void InitDeepLab(DeepLabV3& net, uint64_t backbone_seed, uint64_t head_seed) {
  engine::InitResNet(net->backbone(), backbone_seed);
  const char* const names[] = {"classifier.", "aux_classifier."};
  size_t i = 0;
  for (const auto& head : net->HeadModules()) {
    engine::InitModule(*head, head_seed, engine::ConvInit::kDefault, names[i++]);
  }
}

}  // namespace eosin::segment
