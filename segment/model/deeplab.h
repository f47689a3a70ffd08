// SPDX-License-Identifier: Apache-2.0
// The segmentation networks, one class with two heads over a ResNet:
//   deeplabv3      Chen et al., "Rethinking atrous convolution for semantic image segmentation",
//                  2017, as torchvision builds it: the same keys (backbone.*, classifier.*,
//                  aux_classifier.*), the same numbers
//   deeplabv3plus  Chen et al., "Encoder-decoder with atrous separable convolution", 2018, as
//                  segmentation_models.pytorch builds it (encoder.*, decoder.*,
//                  segmentation_head.*), with its skip from layer1 (stride 4)
//
// Input (N, 3, H, W) float; output logits (N, classes, H, W). Copies by clone(). Dropout draws from
// LibTorch's default generator: a trainer seeds it each step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include "engine/models/resnet.h"

namespace eosin::segment {

struct DeepLabOptions {
  std::string head = "deeplabv3";  // deeplabv3 | deeplabv3plus
  // Without fc. dilate_first_block follows the head: only deeplabv3plus has it.
  engine::ResNetOptions backbone = {.output_stride = 8};
  int classes = 2;
  std::vector<int64_t> rates = {12, 24, 36};  // dilations of the three 3x3 branches
  int head_channels = 256;
  bool separable = true;  // deeplabv3plus: separable 3x3 branches in the ASPP
  bool aux = false;       // deeplabv3: a second head on layer3, for training
  double dropout = 0.5;   // before the last convolution of the ASPP

  bool plus() const { return head == "deeplabv3plus"; }
  void Check() const;  // throws ConfigError
};

struct DeepLabOutput {
  at::Tensor out;  // (N, classes, H, W)
  at::Tensor aux;  // the same from layer3; undefined without the aux head
};

class DeepLabHeadImpl;
class FcnHeadImpl;
class PlusDecoderImpl;
class ClassConvImpl;

// In training with a batch of one image the image-pool branch of the ASPP has a single value per
// channel; its batch norm then uses (and leaves alone) its running statistics, where the originals
// throw. With two or more images it is theirs.
class SegmentationNetImpl : public torch::nn::Cloneable<SegmentationNetImpl> {
 public:
  explicit SegmentationNetImpl(DeepLabOptions options = {});
  void reset() override;

  DeepLabOutput forward(const at::Tensor& x);

  // The same in two parts, for a backbone whose first stages are frozen. HeadStages: the stages
  // whose outputs the heads read, e.g. {4}, {3, 4} with aux, {1, 4} for deeplabv3plus.
  std::vector<int> HeadStages() const;
  // `stages` holds the outputs of stages 0 .. first - 1 (first in 0..5; x itself stands at index 0
  // when first is 0); those that neither the heads nor stage `first` read may be undefined. `size`
  // is (H, W) of the image.
  DeepLabOutput forward_from(int first, std::vector<at::Tensor> stages, at::IntArrayRef size);

  engine::ResNet& backbone() { return backbone_; }
  const char* backbone_name() const { return options_.plus() ? "encoder" : "backbone"; }
  std::vector<std::shared_ptr<torch::nn::Module>> HeadModules() const;  // all but the backbone
  const DeepLabOptions& options() const { return options_; }

 private:
  DeepLabOutput Heads(const std::vector<at::Tensor>& stages, at::IntArrayRef size);
  void CheckSize(int64_t count, at::IntArrayRef size) const;

  DeepLabOptions options_;
  engine::ResNet backbone_{nullptr};
  std::shared_ptr<DeepLabHeadImpl> classifier_;
  std::shared_ptr<FcnHeadImpl> aux_classifier_;
  std::shared_ptr<PlusDecoderImpl> decoder_;
  std::shared_ptr<ClassConvImpl> segmentation_head_;
};
TORCH_MODULE(SegmentationNet);

// The originals' initialisation from two seeds: backbone as InitResNet; heads PyTorch's default
// (deeplabv3), or Kaiming and Xavier uniform with zero biases (deeplabv3plus). A study gives every
// arm the same head_seed.
void InitDeepLab(SegmentationNet& net, uint64_t backbone_seed, uint64_t head_seed);

}  // namespace eosin::segment
