// SPDX-License-Identifier: Apache-2.0
#include "segment/model/deeplab.h"

#include <algorithm>

#include <ATen/ops/upsample_bilinear2d.h>

#include "core/base/error.h"
#include "engine/models/init.h"
#include "segment/model/heads.h"

namespace eosin::segment {

namespace nn = torch::nn;

void DeepLabOptions::Check() const {
  if (head != "deeplabv3" && head != "deeplabv3plus") {
    throw core::ConfigError("unknown head \"" + head + "\"", "use deeplabv3 or deeplabv3plus");
  }
  backbone.Check();
  if (backbone.num_classes != 0) {
    throw core::ConfigError("a segmentation backbone has no fc", "set num_classes to 0");
  }
  if (plus() && backbone.output_stride == 32) {
    throw core::ConfigError("deeplabv3plus has no output stride 32", "use 16 or 8");
  }
  if (plus() && aux) {
    throw core::ConfigError("deeplabv3plus has no aux head", "leave aux away, or use deeplabv3");
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

SegmentationNetImpl::SegmentationNetImpl(DeepLabOptions options) : options_(std::move(options)) {
  options_.backbone.dilate_first_block = options_.plus();
  options_.Check();
  reset();
}

void SegmentationNetImpl::reset() {
  backbone_ = register_module(backbone_name(), engine::ResNet(options_.backbone));
  const AsppOptions aspp{.in = backbone_->feature_dim(),
                         .out = options_.head_channels,
                         .rates = options_.rates,
                         .separable = options_.plus() && options_.separable,
                         .dropout = options_.dropout};
  const int classes = options_.classes;
  if (options_.plus()) {
    decoder_ = register_module(
        "decoder", std::make_shared<PlusDecoderImpl>(aspp, backbone_->stage_channels(1)));
    segmentation_head_ =
        register_module("segmentation_head", std::make_shared<ClassConvImpl>(aspp.out, classes));
    return;
  }
  classifier_ = register_module("classifier", std::make_shared<DeepLabHeadImpl>(aspp, classes));
  if (options_.aux) {
    aux_classifier_ = register_module(
        "aux_classifier", std::make_shared<FcnHeadImpl>(backbone_->stage_channels(3), classes));
  }
}

void SegmentationNetImpl::CheckSize(int64_t count, at::IntArrayRef size) const {
  const auto& backbone = options_.backbone;
  const int64_t stride = backbone.output_stride / (backbone.stem == "cifar" ? 4 : 1);
  if (is_training() && count == 1 && size[0] <= stride && size[1] <= stride) {
    throw core::ConfigError("one image this small leaves a single value to normalise by",
                            "train on larger crops or more images a batch");
  }
}

DeepLabOutput SegmentationNetImpl::forward(const at::Tensor& x) {
  const at::IntArrayRef size = x.sizes().slice(2);
  CheckSize(x.size(0), size);
  return Heads(backbone_->forward_stages(x), size);
}

std::vector<int> SegmentationNetImpl::HeadStages() const {
  if (options_.plus()) return {1, 4};
  return options_.aux ? std::vector<int>{3, 4} : std::vector<int>{4};
}

DeepLabOutput SegmentationNetImpl::forward_from(int first, std::vector<at::Tensor> stages,
                                                at::IntArrayRef size) {
  CheckSize(stages.back().size(0), size);
  at::Tensor last = stages.back();
  stages.resize(5);
  for (int stage = first; stage < 5; ++stage) {
    last = backbone_->forward_stage(stage, last);
    stages[static_cast<size_t>(stage)] = last;
  }
  return Heads(stages, size);
}

DeepLabOutput SegmentationNetImpl::Heads(const std::vector<at::Tensor>& stages,
                                         at::IntArrayRef size) {
  DeepLabOutput output;
  if (options_.plus()) {
    output.out = at::upsample_bilinear2d(
        segmentation_head_->forward(decoder_->forward(stages[4], stages[1])), size,
        /*align_corners=*/true);
    return output;
  }
  auto enlarge = [&](const at::Tensor& logits) {
    return at::upsample_bilinear2d(logits, size, /*align_corners=*/false);
  };
  output.out = enlarge(classifier_->forward(stages[4]));
  if (aux_classifier_) output.aux = enlarge(aux_classifier_->forward(stages[3]));
  return output;
}

std::vector<std::shared_ptr<nn::Module>> SegmentationNetImpl::HeadModules() const {
  if (options_.plus()) return {decoder_, segmentation_head_};
  if (aux_classifier_) return {classifier_, aux_classifier_};
  return {classifier_};
}

void InitDeepLab(SegmentationNet& net, uint64_t backbone_seed, uint64_t head_seed) {
  engine::InitResNet(net->backbone(), backbone_seed);
  const auto heads = net->HeadModules();
  if (net->options().plus()) {
    engine::InitModule(*heads[0], head_seed, engine::ConvInit::kKaimingUniform, "decoder.");
    engine::InitModule(*heads[1], head_seed, engine::ConvInit::kXavierUniform,
                       "segmentation_head.");
    return;
  }
  const char* const names[] = {"classifier.", "aux_classifier."};
  for (size_t i = 0; i < heads.size(); ++i) {
    engine::InitModule(*heads[i], head_seed, engine::ConvInit::kDefault, names[i]);
  }
}

}  // namespace eosin::segment
