// SPDX-License-Identifier: Apache-2.0
#include "segment/model/heads.h"

#include <algorithm>

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/upsample_bilinear2d.h>

namespace eosin::segment {

namespace nn = torch::nn;

DeepLabHeadImpl::DeepLabHeadImpl(AsppOptions aspp, int64_t classes)
    : options_(std::move(aspp)), classes_(classes) {
  reset();
}

void DeepLabHeadImpl::reset() {
  const int64_t width = options_.out;
  aspp_ = register_module("0", std::make_shared<AsppImpl>(options_));
  conv_ = register_module("1", MakeConv(width, width, 3));
  norm_ = register_module("2", nn::BatchNorm2d(width));
  last_ = register_module("4", MakeConv(width, classes_, 1, 1, /*bias=*/true));
}

at::Tensor DeepLabHeadImpl::forward(const at::Tensor& x) {
  at::Tensor out = norm_->forward(conv_->forward(aspp_->forward(x)));
  return last_->forward(at::relu_(out));
}

FcnHeadImpl::FcnHeadImpl(int64_t in, int64_t classes) : in_(in), classes_(classes) { reset(); }

void FcnHeadImpl::reset() {
  const int64_t width = std::max<int64_t>(in_ / 4, 1);
  conv_ = register_module("0", MakeConv(in_, width, 3));
  norm_ = register_module("1", nn::BatchNorm2d(width));
  last_ = register_module("4", MakeConv(width, classes_, 1, 1, /*bias=*/true));
}

at::Tensor FcnHeadImpl::forward(const at::Tensor& x) {
  at::Tensor out = norm_->forward(conv_->forward(x));
  return last_->forward(at::dropout(at::relu_(out), 0.1, is_training()));
}

// Children "0" ASPP, "1" separable 3x3, "2" batch norm, then ReLU.
class PlusContextImpl : public nn::Cloneable<PlusContextImpl> {
 public:
  explicit PlusContextImpl(AsppOptions options) : options_(std::move(options)) { reset(); }
  void reset() override {
    aspp_ = register_module("0", std::make_shared<AsppImpl>(options_));
    conv_ = register_module("1", std::make_shared<SeparableConvImpl>(options_.out, options_.out));
    norm_ = register_module("2", nn::BatchNorm2d(options_.out));
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor out = norm_->forward(conv_->forward(aspp_->forward(x)));
    return at::relu_(out);
  }

 private:
  AsppOptions options_;
  std::shared_ptr<AsppImpl> aspp_;
  std::shared_ptr<SeparableConvImpl> conv_;
  nn::BatchNorm2d norm_{nullptr};
};

PlusDecoderImpl::PlusDecoderImpl(AsppOptions aspp, int64_t skip_channels)
    : options_(std::move(aspp)), skip_channels_(skip_channels) {
  reset();
}

void PlusDecoderImpl::reset() {
  const int64_t width = options_.out;
  context_ = register_module("aspp", std::make_shared<PlusContextImpl>(options_));
  skip_ = register_module("block1", std::make_shared<ConvBnImpl>(skip_channels_, kSkipChannels, 1));
  fuse_ = register_module("block2", std::make_shared<ConvBnImpl>(kSkipChannels + width, width, 3, 1,
                                                                 /*separable=*/true));
}

at::Tensor PlusDecoderImpl::forward(const at::Tensor& deep, const at::Tensor& skip) {
  const at::Tensor context = at::upsample_bilinear2d(context_->forward(deep), skip.sizes().slice(2),
                                                     /*align_corners=*/true);
  return fuse_->forward(at::cat({context, skip_->forward(skip)}, 1));
}

ClassConvImpl::ClassConvImpl(int64_t in, int64_t classes) : in_(in), classes_(classes) { reset(); }

void ClassConvImpl::reset() {
  conv_ = register_module("0", MakeConv(in_, classes_, 1, 1, /*bias=*/true));
}

at::Tensor ClassConvImpl::forward(const at::Tensor& x) { return conv_->forward(x); }

}  // namespace eosin::segment
