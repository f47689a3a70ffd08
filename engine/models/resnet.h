// SPDX-License-Identifier: Apache-2.0
// ResNet-18/34/50 with torchvision's parameter names and numbers (He et al., "Deep residual
// learning for image recognition", 2015; the stride sits on the 3x3 convolution, "v1.5").
//
// Input (N, 3, H, W) float, normalised by the caller, NCHW or channels_last. Copies by clone().
// Throws ConfigError for options that make no network.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

namespace torch::nn {
class Conv2dImpl;
class BatchNorm2dImpl;
class LinearImpl;
}  // namespace torch::nn

namespace eosin::engine {

struct ResNetOptions {
  std::string arch = "resnet50";  // resnet18, resnet34, resnet50
  // imagenet: 7x7 stride 2, max-pool. cifar: 3x3 stride 1, no pool (for images of 32 px).
  std::string stem = "imagenet";
  // 32: none dilated; 16: layer4; 8: layer3 and layer4, as torchvision's
  // replace_stride_with_dilation (a dilated stage's first block keeps the previous dilation). The
  // number counts for the imagenet stem; with the cifar stem the true stride is a quarter of it.
  // torchvision refuses dilation for resnet18/34; here both 3x3 of a block take the block's
  // dilation.
  int output_stride = 32;
  // Whether the first block of a dilated stage is dilated like the others, as
  // segmentation_models.pytorch builds its encoders; false: torchvision's rule above.
  bool dilate_first_block = false;
  int width = 64;                   // channels of the stem; 64 in torchvision, less for small nets
  bool zero_init_residual = false;  // last BN weight of each block starts at 0 (InitResNet)
  int num_classes = 0;              // 0: no fc, forward gives pooled features

  void Check() const;  // throws ConfigError
};

class ResNetStageImpl;  // a row of blocks, children "0", "1", ...

class ResNetImpl : public torch::nn::Cloneable<ResNetImpl> {
 public:
  explicit ResNetImpl(ResNetOptions options = {});
  void reset() override;

  // Pooled features (N, feature_dim), or logits (N, num_classes) when there is an fc.
  at::Tensor forward(const at::Tensor& x);
  // {stem after ReLU and before the pool, layer1, ..., layer4}, each (N, C, h, w).
  std::vector<at::Tensor> forward_stages(const at::Tensor& x);
  // One of them, 0..4, from the output of the one before (from the image for 0).
  at::Tensor forward_stage(int stage, const at::Tensor& x);

  int64_t feature_dim() const;              // channels of layer4: 512 or 2048 at width 64
  int64_t stage_channels(int stage) const;  // 0 = stem, 1..4 = layers
  const ResNetOptions& options() const { return options_; }

  // The modules of a stage: "stem" = conv1 and bn1, "layer1" .. "layer4", "fc" (if any). For
  // freezing and per-stage rates. Throws ConfigError for other names.
  std::vector<std::shared_ptr<torch::nn::Module>> StageModules(const std::string& stage) const;
  // {"stem", "layer1", "layer2", "layer3", "layer4"}
  static const std::vector<std::string>& StageNames();

 private:
  ResNetOptions options_;
  std::shared_ptr<torch::nn::Conv2dImpl> conv1_;
  std::shared_ptr<torch::nn::BatchNorm2dImpl> bn1_;
  std::vector<std::shared_ptr<ResNetStageImpl>> layers_;
  std::shared_ptr<torch::nn::LinearImpl> fc_;
};
TORCH_MODULE(ResNet);

// torchvision's initialisation (convolutions kaiming normal fan_out, BN 1/0 with cleared
// statistics, fc uniform +-1/sqrt(fan_in)), drawn by Philox from the seed and each parameter's
// name. The constructor alone leaves LibTorch's default values from its global generator.
void InitResNet(ResNet& net, uint64_t seed);

}  // namespace eosin::engine
