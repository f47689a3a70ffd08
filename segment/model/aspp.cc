// SPDX-License-Identifier: Apache-2.0
#include "segment/model/aspp.h"

#include <string>

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/relu.h>

namespace eosin::segment {

namespace nn = torch::nn;

nn::Conv2d MakeConv(int64_t in, int64_t out, int64_t kernel, int64_t dilation, bool bias) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel)
                        .padding(dilation * (kernel / 2))
                        .dilation(dilation)
                        .bias(bias));
}

SeparableConvImpl::SeparableConvImpl(int64_t in, int64_t out, int64_t dilation)
    : in_(in), out_(out), dilation_(dilation) {
  reset();
}

void SeparableConvImpl::reset() {
  depthwise_ = register_module("0", nn::Conv2d(nn::Conv2dOptions(in_, in_, 3)
                                                   .padding(dilation_)
                                                   .dilation(dilation_)
                                                   .groups(in_)
                                                   .bias(false)));
  pointwise_ = register_module("1", MakeConv(in_, out_, 1));
}

at::Tensor SeparableConvImpl::forward(const at::Tensor& x) {
  return pointwise_->forward(depthwise_->forward(x));
}

ConvBnImpl::ConvBnImpl(int64_t in, int64_t out, int64_t kernel, int64_t dilation, bool separable)
    : in_(in), out_(out), kernel_(kernel), dilation_(dilation), separable_(separable) {
  reset();
}

void ConvBnImpl::reset() {
  if (separable_) {
    split_ = register_module("0", std::make_shared<SeparableConvImpl>(in_, out_, dilation_));
  } else {
    plain_ = register_module("0", MakeConv(in_, out_, kernel_, dilation_));
  }
  norm_ = register_module("1", nn::BatchNorm2d(out_));
}

at::Tensor ConvBnImpl::forward(const at::Tensor& x) {
  at::Tensor out = norm_->forward(separable_ ? split_->forward(x) : plain_->forward(x));
  return at::relu_(out);
}

// Image pooling: mean over the map, 1x1, batch norm, ReLU, spread over the map again.
class PoolBranchImpl : public nn::Cloneable<PoolBranchImpl> {
 public:
  PoolBranchImpl(int64_t in, int64_t out) : in_(in), out_(out) { reset(); }
  void reset() override {
    conv_ = register_module("1", MakeConv(in_, out_, 1));
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

// The branches' outputs side by side.
class BranchesImpl : public nn::Cloneable<BranchesImpl> {
 public:
  explicit BranchesImpl(AsppOptions options) : options_(std::move(options)) { reset(); }
  void reset() override {
    const AsppOptions& o = options_;
    convs_ = {register_module("0", std::make_shared<ConvBnImpl>(o.in, o.out, 1))};
    for (const int64_t rate : o.rates) {
      convs_.push_back(
          register_module(std::to_string(convs_.size()),
                          std::make_shared<ConvBnImpl>(o.in, o.out, 3, rate, o.separable)));
    }
    pool_ = register_module(std::to_string(convs_.size()),
                            std::make_shared<PoolBranchImpl>(o.in, o.out));
  }
  at::Tensor forward(const at::Tensor& x) {
    std::vector<at::Tensor> parts;
    for (auto& conv : convs_) parts.push_back(conv->forward(x));
    parts.push_back(pool_->forward(x));
    return at::cat(parts, 1);
  }

 private:
  AsppOptions options_;
  std::vector<std::shared_ptr<ConvBnImpl>> convs_;
  std::shared_ptr<PoolBranchImpl> pool_;
};

AsppImpl::AsppImpl(AsppOptions options) : options_(std::move(options)) { reset(); }

void AsppImpl::reset() {
  convs_ = register_module("convs", std::make_shared<BranchesImpl>(options_));
  const auto parts = static_cast<int64_t>(options_.rates.size()) + 2;
  project_ = register_module("project",
                             std::make_shared<ConvBnImpl>(parts * options_.out, options_.out, 1));
}

at::Tensor AsppImpl::forward(const at::Tensor& x) {
  return at::dropout(project_->forward(convs_->forward(x)), options_.dropout, is_training());
}

}  // namespace eosin::segment
