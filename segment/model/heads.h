// SPDX-License-Identifier: Apache-2.0
// Segmentation heads over a ResNet's stages, each with its source's names and numbers.
#pragma once

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>
#include <torch/nn/cloneable.h>

#include "segment/model/aspp.h"

namespace eosin::segment {

// torchvision's DeepLabHead. Children "0" ASPP, "1" 3x3, "2" batch norm, "4" 1x1 to the classes.
class DeepLabHeadImpl : public torch::nn::Cloneable<DeepLabHeadImpl> {
 public:
  DeepLabHeadImpl(AsppOptions aspp, int64_t classes);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);  // logits at the map's size

 private:
  AsppOptions options_;
  int64_t classes_;
  std::shared_ptr<AsppImpl> aspp_;
  torch::nn::Conv2d conv_{nullptr}, last_{nullptr};
  torch::nn::BatchNorm2d norm_{nullptr};
};

// torchvision's FCNHead. Children "0" 3x3 to a quarter of the channels, "1" batch norm, "4" 1x1.
class FcnHeadImpl : public torch::nn::Cloneable<FcnHeadImpl> {
 public:
  FcnHeadImpl(int64_t in, int64_t classes);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

 private:
  int64_t in_, classes_;
  torch::nn::Conv2d conv_{nullptr}, last_{nullptr};
  torch::nn::BatchNorm2d norm_{nullptr};
};

class PlusContextImpl;

// The decoder of DeepLabV3+ (Chen et al., 2018) as segmentation_models.pytorch builds it: "aspp"
// (ASPP, separable 3x3, batch norm, ReLU) on the deepest stage, enlarged to the skip's size, beside
// "block1" (the skip, 1x1 to 48 channels), then "block2" (separable 3x3). Bilinear with
// align_corners.
class PlusDecoderImpl : public torch::nn::Cloneable<PlusDecoderImpl> {
 public:
  static constexpr int64_t kSkipChannels = 48;
  PlusDecoderImpl(AsppOptions aspp, int64_t skip_channels);
  void reset() override;
  at::Tensor forward(const at::Tensor& deep, const at::Tensor& skip);

 private:
  AsppOptions options_;
  int64_t skip_channels_;
  std::shared_ptr<PlusContextImpl> context_;
  std::shared_ptr<ConvBnImpl> skip_, fuse_;
};

// Child "0": 1x1 to the classes.
class ClassConvImpl : public torch::nn::Cloneable<ClassConvImpl> {
 public:
  ClassConvImpl(int64_t in, int64_t classes);
  void reset() override;
  at::Tensor forward(const at::Tensor& x);

 private:
  int64_t in_, classes_;
  torch::nn::Conv2d conv_{nullptr};
};

}  // namespace eosin::segment
