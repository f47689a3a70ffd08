// SPDX-License-Identifier: Apache-2.0
#include "engine/models/resnet.h"

#include <algorithm>

#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include "core/base/error.h"
#include "engine/models/init.h"

namespace eosin::engine {

namespace nn = torch::nn;

namespace {

struct Architecture {
  const char* name;
  bool bottleneck;
  int blocks[4];
};

constexpr Architecture kArchitectures[] = {{"resnet18", false, {2, 2, 2, 2}},
                                           {"resnet34", false, {3, 4, 6, 3}},
                                           {"resnet50", true, {3, 4, 6, 3}}};

const Architecture& Find(const std::string& name) {
  for (const auto& architecture : kArchitectures) {
    if (name == architecture.name) return architecture;
  }
  throw core::ConfigError("unknown arch \"" + name + "\"", "use resnet18, resnet34 or resnet50");
}

nn::Conv2d Conv(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t dilation = 1) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel)
                        .stride(stride)
                        .padding(dilation * (kernel / 2))
                        .dilation(dilation)
                        .bias(false));
}

struct BlockShape {
  bool bottleneck;
  int64_t in, planes, stride, dilation;
  int64_t out() const { return bottleneck ? planes * 4 : planes; }
};

// BasicBlock (two 3x3) or Bottleneck (1x1, 3x3 with the stride, 1x1 to four times the planes).
class BlockImpl : public nn::Cloneable<BlockImpl> {
 public:
  explicit BlockImpl(BlockShape shape) : shape_(shape) { reset(); }

  void reset() override {
    const auto& s = shape_;
    if (s.bottleneck) {
      Add(0, Conv(s.in, s.planes, 1), s.planes);
      Add(1, Conv(s.planes, s.planes, 3, s.stride, s.dilation), s.planes);
      Add(2, Conv(s.planes, s.out(), 1), s.out());
    } else {
      Add(0, Conv(s.in, s.planes, 3, s.stride, s.dilation), s.planes);
      Add(1, Conv(s.planes, s.planes, 3, 1, s.dilation), s.planes);
    }
    downsample_ = nullptr;
    if (s.stride != 1 || s.in != s.out()) {
      downsample_ = register_module(
          "downsample", nn::Sequential(Conv(s.in, s.out(), 1, s.stride), nn::BatchNorm2d(s.out())));
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    const int last = shape_.bottleneck ? 2 : 1;
    at::Tensor out = x;
    for (int i = 0; i < last; ++i) {
      out = norms_[i]->forward(convs_[i]->forward(out));
      at::relu_(out);
    }
    out = norms_[last]->forward(convs_[last]->forward(out));
    out += downsample_.is_empty() ? x : downsample_->forward(x);
    return at::relu_(out);
  }

  nn::BatchNorm2d& last_norm() { return norms_[shape_.bottleneck ? 2 : 1]; }

 private:
  void Add(int i, nn::Conv2d conv, int64_t channels) {
    const std::string number = std::to_string(i + 1);
    convs_[i] = register_module("conv" + number, std::move(conv));
    norms_[i] = register_module("bn" + number, nn::BatchNorm2d(channels));
  }

  BlockShape shape_;
  nn::Conv2d convs_[3] = {nullptr, nullptr, nullptr};
  nn::BatchNorm2d norms_[3] = {nullptr, nullptr, nullptr};
  nn::Sequential downsample_{nullptr};
};

}  // namespace

class ResNetStageImpl : public nn::Cloneable<ResNetStageImpl> {
 public:
  explicit ResNetStageImpl(std::vector<BlockShape> shapes) : shapes_(std::move(shapes)) { reset(); }

  void reset() override {
    blocks_.clear();
    for (size_t i = 0; i < shapes_.size(); ++i) {
      blocks_.push_back(
          register_module(std::to_string(i), std::make_shared<BlockImpl>(shapes_[i])));
    }
  }

  at::Tensor forward(at::Tensor x) {
    for (auto& block : blocks_) x = block->forward(x);
    return x;
  }

  const std::vector<std::shared_ptr<BlockImpl>>& blocks() const { return blocks_; }

 private:
  std::vector<BlockShape> shapes_;
  std::vector<std::shared_ptr<BlockImpl>> blocks_;
};

void ResNetOptions::Check() const {
  Find(arch);
  if (stem != "imagenet" && stem != "cifar") {
    throw core::ConfigError("unknown stem \"" + stem + "\"", "use imagenet or cifar");
  }
  if (output_stride != 32 && output_stride != 16 && output_stride != 8) {
    throw core::ConfigError("output_stride " + std::to_string(output_stride) + " is not possible",
                            "use 32, 16 or 8");
  }
  if (width < 1 || width > 1024) {
    throw core::ConfigError("width " + std::to_string(width) + " is out of range",
                            "use 1 to 1024; 64 is the standard network");
  }
  if (num_classes < 0) {
    throw core::ConfigError("num_classes is negative", "use 0 for no classifier");
  }
}

ResNetImpl::ResNetImpl(ResNetOptions options) : options_(std::move(options)) {
  options_.Check();
  reset();
}

void ResNetImpl::reset() {
  const Architecture& architecture = Find(options_.arch);
  const bool cifar = options_.stem == "cifar";
  conv1_ = register_module("conv1", nn::Conv2d(nn::Conv2dOptions(3, options_.width, cifar ? 3 : 7)
                                                   .stride(cifar ? 1 : 2)
                                                   .padding(cifar ? 1 : 3)
                                                   .bias(false)));
  bn1_ = register_module("bn1", nn::BatchNorm2d(options_.width));
  layers_.clear();
  int64_t in = options_.width, dilation = 1;
  for (int layer = 0; layer < 4; ++layer) {
    const int64_t planes = int64_t{options_.width} << layer;
    const bool dilated =
        (layer == 3 && options_.output_stride <= 16) || (layer == 2 && options_.output_stride == 8);
    int64_t first = dilation;  // of the stage's first block
    int64_t stride = layer == 0 ? 1 : 2;
    if (dilated) {
      dilation *= stride;
      stride = 1;
      if (options_.dilate_first_block) first = dilation;
    }
    std::vector<BlockShape> shapes;
    for (int block = 0; block < architecture.blocks[layer]; ++block) {
      shapes.push_back({architecture.bottleneck, in, planes, block == 0 ? stride : 1,
                        block == 0 ? first : dilation});
      in = shapes.back().out();
    }
    layers_.push_back(register_module("layer" + std::to_string(layer + 1),
                                      std::make_shared<ResNetStageImpl>(std::move(shapes))));
  }
  fc_ = nullptr;
  if (options_.num_classes > 0) {
    fc_ = register_module("fc", nn::Linear(in, options_.num_classes));
  }
}

std::vector<at::Tensor> ResNetImpl::forward_stages(const at::Tensor& x) {
  std::vector<at::Tensor> stages;
  for (int stage = 0; stage < 5; ++stage) {
    stages.push_back(forward_stage(stage, stage == 0 ? x : stages.back()));
  }
  return stages;
}

at::Tensor ResNetImpl::forward_stage(int stage, const at::Tensor& x) {
  if (stage == 0) {
    at::Tensor out = bn1_->forward(conv1_->forward(x));
    return at::relu_(out);
  }
  const bool pool = stage == 1 && options_.stem == "imagenet";
  return layers_[static_cast<size_t>(stage - 1)]->forward(pool ? at::max_pool2d(x, 3, 2, 1) : x);
}

at::Tensor ResNetImpl::forward(const at::Tensor& x) {
  at::Tensor out = bn1_->forward(conv1_->forward(x));
  at::relu_(out);
  if (options_.stem == "imagenet") out = at::max_pool2d(out, 3, 2, 1);
  for (auto& layer : layers_) out = layer->forward(std::move(out));
  out = out.mean({2, 3});  // adaptive_avg_pool2d to 1x1, with a deterministic backward
  return fc_ ? fc_->forward(out) : out;
}

int64_t ResNetImpl::stage_channels(int stage) const {
  if (stage <= 0) return options_.width;
  const int64_t planes = int64_t{options_.width} << (std::min(stage, 4) - 1);
  return Find(options_.arch).bottleneck ? planes * 4 : planes;
}

int64_t ResNetImpl::feature_dim() const { return stage_channels(4); }

const std::vector<std::string>& ResNetImpl::StageNames() {
  static const std::vector<std::string> names = {"stem", "layer1", "layer2", "layer3", "layer4"};
  return names;
}

std::vector<std::shared_ptr<nn::Module>> ResNetImpl::StageModules(const std::string& stage) const {
  if (stage == "stem") return {conv1_, bn1_};
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (stage == "layer" + std::to_string(i + 1)) return {layers_[i]};
  }
  if (stage == "fc") {
    if (fc_) return {fc_};
    return {};
  }
  throw core::ConfigError("unknown stage \"" + stage + "\"",
                          "use stem, layer1, layer2, layer3 or layer4");
}

void InitResNet(ResNet& net, uint64_t seed) {
  InitModule(*net, seed, ConvInit::kKaimingFanOut);
  if (!net->options().zero_init_residual) return;
  const torch::NoGradGuard guard;
  for (const auto& module : net->modules(/*include_self=*/false)) {
    if (auto* block = module->as<BlockImpl>()) block->last_norm()->weight.zero_();
  }
}

}  // namespace eosin::engine
