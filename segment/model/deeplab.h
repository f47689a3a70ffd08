// SPDX-License-Identifier: Apache-2.0
// DeepLabV3 (Chen et al., "Rethinking atrous convolution for semantic image segmentation", 2017) as
// torchvision builds it: same keys (backbone.*, classifier.*, aux_classifier.*), same numbers.
//
// Input (N, 3, H, W) float; output logits (N, classes, H, W). Copies by clone(). Dropout draws from
// LibTorch's default generator: a trainer seeds it each step.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include "engine/models/resnet.h"

namespace eosin::segment {

struct DeepLabOptions {
  engine::ResNetOptions backbone = {.output_stride = 8};  // without fc
  int classes = 2;
  std::vector<int64_t> rates = {12, 24, 36};  // dilations of the three 3x3 branches
  int head_channels = 256;
  bool aux = false;      // a second head on layer3, for training
  double dropout = 0.5;  // before the last convolution of the ASPP

  void Check() const;  // throws ConfigError
};

struct DeepLabOutput {
  at::Tensor out;  // (N, classes, H, W)
  at::Tensor aux;  // the same from layer3; undefined without the aux head
};

class DeepLabHeadImpl;
class FcnHeadImpl;

// In training with a batch of one image the image-pool branch of the ASPP has a single value per
// channel; its batch norm then uses (and leaves alone) its running statistics, where torchvision
// throws. With two or more images it is torchvision's.
class DeepLabV3Impl : public torch::nn::Cloneable<DeepLabV3Impl> {
 public:
  explicit DeepLabV3Impl(DeepLabOptions options = {});
  void reset() override;

  DeepLabOutput forward(const at::Tensor& x);

  engine::ResNet& backbone() { return backbone_; }
  std::vector<std::shared_ptr<torch::nn::Module>> HeadModules() const;  // classifier, aux
  const DeepLabOptions& options() const { return options_; }

 private:
  DeepLabOptions options_;
  engine::ResNet backbone_{nullptr};
  std::shared_ptr<DeepLabHeadImpl> classifier_;
  std::shared_ptr<FcnHeadImpl> aux_classifier_;
};
TORCH_MODULE(DeepLabV3);

// torchvision's initialisation from two seeds: backbone as InitResNet, heads PyTorch's default.
// A study gives every arm the same head_seed.
void InitDeepLab(DeepLabV3& net, uint64_t backbone_seed, uint64_t head_seed);

}  // namespace eosin::segment
