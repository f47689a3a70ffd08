// SPDX-License-Identifier: Apache-2.0
// Atrous spatial pyramid pooling (Chen et al., "Rethinking atrous convolution", 2017) and the
// pieces that segmentation heads share. Children are named as in torchvision's Sequentials, which
// segmentation_models.pytorch names alike: convs.0 (1x1), convs.1 .. n (3x3 at the rates),
// convs.n+1 (image pool), project.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

namespace eosin::segment {

// "Same" padding, stride 1.
torch::nn::Conv2d MakeConv(int64_t in, int64_t out, int64_t kernel, int64_t dilation = 1,
                           bool bias = false);

// A 3x3 convolution a channel (child "0"), then 1x1 over the channels ("1"): Chen et al.,
// "Encoder-decoder with atrous separable convolution", 2018.
class SeparableConvImpl : public torch::nn::Cloneable<SeparableConvImpl> {
 public:
  SeparableConvImpl(int64_t in, int64_t out, int64_t dilation = 1);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

 private:
  int64_t in_, out_, dilation_;
  torch::nn::Conv2d depthwise_{nullptr}, pointwise_{nullptr};
};

// Child "0" convolution (1x1, 3x3, or separable 3x3), "1" batch norm, then ReLU.
class ConvBnImpl : public torch::nn::Cloneable<ConvBnImpl> {
 public:
  ConvBnImpl(int64_t in, int64_t out, int64_t kernel, int64_t dilation = 1, bool separable = false);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

 private:
  int64_t in_, out_, kernel_, dilation_;
  bool separable_;
  torch::nn::Conv2d plain_{nullptr};
  std::shared_ptr<SeparableConvImpl> split_;
  torch::nn::BatchNorm2d norm_{nullptr};
};

struct AsppOptions {
  int64_t in = 0, out = 256;   // channels
  std::vector<int64_t> rates;  // dilations of the 3x3 branches
  bool separable = false;      // 3x3 branches as SeparableConv
  double dropout = 0.5;        // after the projection
};

class BranchesImpl;

// (N, in, h, w) -> (N, out, h, w). With one image in training the pool branch has one value a
// channel: its batch norm then uses, and leaves alone, its running statistics.
class AsppImpl : public torch::nn::Cloneable<AsppImpl> {
 public:
  explicit AsppImpl(AsppOptions options);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

 private:
  AsppOptions options_;
  std::shared_ptr<BranchesImpl> convs_;
  std::shared_ptr<ConvBnImpl> project_;
};

}  // namespace eosin::segment
