// SPDX-License-Identifier: Apache-2.0
// Freezing: what stays to the byte over many steps, what learns, which rates stages have, and that
// a frozen prefix without autograd, or cached, is the same network.
#include "segment/model/freeze.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/types.h>
#include <cmath>
#include <map>

#include "engine/weights/weights.h"
#include "segment/data/crops.h"
#include "segment/data/split.h"
#include "segment/model/build_model.h"
#include "segment/train/batch.h"
#include "segment/train/feature_cache.h"
#include "segment/train/learner.h"
#include "tests/segment/tiny_run.h"

namespace eosin::segment {
namespace {

using testing::ExpectError;
using testing::TempFolder;
using testing::TinyOptions;

// The bytes of every stage (stem, layer1, ...) and of the head: weights and running statistics.
std::map<std::string, std::string> Bytes(SegmentationNet& net) {
  std::map<std::string, std::string> bytes;
  auto add = [&](const std::string& name, const torch::nn::Module& module) {
    for (const core::TensorBlob& blob : engine::ToStateDict(module).tensors) {
      bytes[name] += blob.name + std::string(blob.data.begin(), blob.data.end());
    }
  };
  for (const std::string& stage : engine::ResNetImpl::StageNames()) {
    for (const auto& module : net->backbone()->StageModules(stage)) add(stage, *module);
  }
  for (const auto& module : net->HeadModules()) add("head", *module);
  return bytes;
}

Learner MakeLearner(const SegmentOptions& options) {
  return Learner(options, engine::ResolveCompute(options.compute), BuildModel(options).net, {});
}

void TakeStep(Learner& learner, int64_t step, int64_t batch = 2) {
  learner.Prepare(step);
  torch::manual_seed(100 + step);
  const at::Tensor input = torch::rand({batch, 3, 32, 32});
  const at::Tensor target = torch::randint(0, 2, {batch, 32, 32});
  const auto loss = learner.Loss(learner.Features(input), target, step);
  learner.Update(loss, step);
}

TEST(Freeze, WhatIsFrozenStaysToTheByteOverManySteps) {
  for (const std::string head : {"deeplabv3", "deeplabv3plus"}) {
    for (const std::string& stage : FreezeNames()) {
      for (const char* optimizer : {"sgd", "adamw"}) {
        SegmentOptions options = TinyOptions();
        options.head = head;
        options.freeze = stage;
        options.steps = 100;
        options.optimizer.name = optimizer;
        options.optimizer.weight_decay = 0.1;  // would move a weight without a gradient
        Learner learner = MakeLearner(options);
        const auto before = Bytes(learner.net());
        for (int64_t step = 0; step < 6; ++step) {
          if (step % 2 == 1) learner.net()->eval();    // what a validation leaves
          TakeStep(learner, step, step == 3 ? 1 : 2);  // a remainder of one
        }
        const auto after = Bytes(learner.net());
        const int depth = FrozenDepth(stage);
        int place = 0;
        for (const std::string& name : engine::ResNetImpl::StageNames()) {
          EXPECT_EQ(after.at(name) == before.at(name), place < depth)
              << head << ", " << optimizer << ", frozen " << stage << ", " << name;
          ++place;
        }
        EXPECT_NE(after.at("head"), before.at("head"));
      }
    }
  }
}

TEST(Freeze, NamesAndDepths) {
  EXPECT_EQ(FrozenDepth("none"), 0);
  EXPECT_EQ(FrozenDepth("stem"), 1);
  EXPECT_EQ(FrozenDepth("layer3"), 4);
  EXPECT_EQ(FrozenDepth("layer4"), 5);
  EXPECT_EQ(FrozenDepth("all"), 5);
  ExpectError([] { FrozenDepth("layer9"); }, core::ExitCode::kUsage, "layer9");
}

TEST(FreezeSchedule, ChangesOnceOrNever) {
  SegmentOptions options;
  options.freeze = "layer2";
  options.steps = 50;
  const FreezeSchedule always(options);
  EXPECT_EQ(options.UnfreezeStep(), 50);
  EXPECT_EQ(always.DepthAt(49), 3);
  EXPECT_EQ(always.always(), 3);
  options.freeze = "all";  // the head first, then all but the stem
  options.unfreeze_at = 0.2;
  options.unfreeze_to = "stem";
  const FreezeSchedule probe(options);
  EXPECT_EQ(options.UnfreezeStep(), 10);
  EXPECT_EQ(probe.DepthAt(9), 5);
  EXPECT_EQ(probe.DepthAt(10), 1);
  EXPECT_EQ(probe.always(), 1);
}

TEST(FreezeSchedule, LinearProbeThenFineTuning) {
  SegmentOptions options = TinyOptions();
  options.freeze = "all";
  options.unfreeze_at = 0.5;
  options.steps = 8;
  options.schedule = "constant";
  options.optimizer.lr = 0.01;
  Learner learner = MakeLearner(options);
  EXPECT_EQ(learner.always_frozen(), 0);
  options.unfreeze_to = "stem";
  EXPECT_EQ(MakeLearner(options).always_frozen(), 3 * 8 * 7 * 7 + 2 * 8);  // conv1 and bn1
  const auto start = Bytes(learner.net());
  for (int64_t step = 0; step < 4; ++step) TakeStep(learner, step);
  auto now = Bytes(learner.net());
  for (const std::string& name : engine::ResNetImpl::StageNames()) {
    EXPECT_EQ(now.at(name), start.at(name)) << name;
  }
  EXPECT_NE(now.at("head"), start.at("head"));
  TakeStep(learner, 4);
  now = Bytes(learner.net());
  for (const std::string& name : engine::ResNetImpl::StageNames()) {
    EXPECT_NE(now.at(name), start.at(name)) << name;
  }
}

TEST(Learner, EveryStageHasItsRate) {
  // With plain SGD and one step the change of a weight is rate * gradient.
  SegmentOptions options = TinyOptions();
  options.optimizer.momentum = 0;
  options.optimizer.weight_decay = 0;
  options.optimizer.lr = 0.5;
  options.schedule = "constant";
  options.backbone_lr = 0.1;  // has no say: the backbone is random
  options.stage_lr = {0.25, 0.5, 1, 2, 4};
  Learner learner = MakeLearner(options);
  std::map<std::string, at::Tensor> before;
  for (const auto& item : learner.net()->named_parameters()) {
    before[item.key()] = item.value().detach().clone();
  }
  TakeStep(learner, 0);
  const std::map<std::string, double> rates = {
      {"backbone.conv1.weight", 0.125},        {"backbone.layer1.0.conv1.weight", 0.25},
      {"backbone.layer2.0.conv1.weight", 0.5}, {"backbone.layer3.0.bn1.bias", 1.0},
      {"backbone.layer4.1.conv2.weight", 2.0}, {"classifier.4.weight", 0.5}};
  const auto parameters = learner.net()->named_parameters();
  for (const auto& [name, rate] : rates) {
    const at::Tensor change = before.at(name) - parameters[name].detach();
    const at::Tensor wanted = rate * parameters[name].grad();
    EXPECT_LT((change - wanted).abs().max().item<double>(),
              1e-6 + 1e-4 * wanted.abs().max().item<double>())
        << name;
    EXPECT_GT(wanted.abs().max().item<double>(), 0) << name;
  }
}

TEST(Learner, ClippingBoundsTheUpdate) {
  SegmentOptions options = TinyOptions();
  options.optimizer.momentum = 0;
  options.optimizer.weight_decay = 0;
  options.optimizer.lr = 1;
  options.schedule = "constant";
  options.clip_grad = 1e-3;
  Learner learner = MakeLearner(options);
  std::vector<at::Tensor> before;
  for (const at::Tensor& p : learner.net()->parameters()) before.push_back(p.detach().clone());
  TakeStep(learner, 0);
  double square = 0;
  size_t i = 0;
  for (const at::Tensor& p : learner.net()->parameters()) {
    square += (p.detach() - before[i++]).square().sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(square), 1e-3, 2e-5);
}

// The loss and the gradients of a step with everything frozen to a depth, three ways: in one graph,
// with the prefix apart, and from cached features.
TEST(FrozenPrefix, IsTheSameNetworkWithoutItsGraph) {
  for (const std::string head : {"deeplabv3", "deeplabv3plus"}) {
    for (const char* stage : {"stem", "layer1", "layer3", "all"}) {
      SegmentOptions options = TinyOptions();
      options.head = head;
      options.aux = head == "deeplabv3";
      options.dropout = 0;
      options.freeze = stage;
      Learner learner = MakeLearner(options);
      torch::manual_seed(1);
      const at::Tensor input = torch::rand({2, 3, 32, 32});
      const at::Tensor target = torch::randint(0, 2, {2, 32, 32});
      const auto features = learner.Features(input);
      for (const at::Tensor& feature : features) {
        EXPECT_FALSE(feature.defined() && feature.requires_grad());
      }
      EXPECT_EQ(static_cast<int>(features.size()), FrozenDepth(stage));
      const at::Tensor apart =
          learner.net()->forward_from(FrozenDepth(stage), features, {32, 32}).out;
      const at::Tensor whole = learner.net()->forward(input).out;
      EXPECT_TRUE(apart.equal(whole)) << head << " " << stage;
    }
  }
}

class CacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::MakeMaskData(temp_ / "data", 5, 1, 48);
    options_ = TinyOptions();
    options_.data.data = (temp_ / "data").string();
    options_.freeze = "layer3";
    options_.views = 3;
    options_.cache_features = true;
    options_.steps = 20;
    data_ = std::make_unique<MaskDataset>(options_.data);
  }
  TempFolder temp_;
  SegmentOptions options_;
  std::unique_ptr<MaskDataset> data_;
  const std::vector<int64_t> train_{0, 2, 4};
};

TEST_F(CacheTest, GivesWhatTheCropsWouldHave) {
  Learner learner = MakeLearner(options_);
  const engine::Compute compute = engine::ResolveCompute(options_.compute);
  const engine::Normalization normalization;
  const FeatureCache cache(options_, *data_, train_, 20, compute, normalization, learner);
  EXPECT_EQ(cache.crops(), 9);  // three images, three views
  for (const int64_t step : {0, 1, 7, 19}) {
    const DeviceBatch batch =
        ToDevice(MakeCrops(*data_, train_, options_, step), 32, compute.device, normalization);
    const auto wanted = learner.Features(batch.input);
    const FeatureCache::Batch cached = cache.At(step);
    EXPECT_TRUE(cached.target.equal(batch.mask.to(torch::kLong))) << step;
    ASSERT_EQ(cached.features.size(), wanted.size());
    for (size_t s = 0; s < wanted.size(); ++s) {
      ASSERT_EQ(cached.features[s].defined(), wanted[s].defined());
      if (!wanted[s].defined()) continue;
      EXPECT_LT((cached.features[s] - wanted[s]).abs().max().item<float>(), 1e-5f) << step;
      EXPECT_EQ(cached.features[s].strides(), wanted[s].strides());
    }
  }
}

TEST_F(CacheTest, FixedViewsComeBackAndOthersDoNot) {
  const auto crop = [&](int64_t step) { return MakeCrops(*data_, {0}, options_, step).images; };
  options_.batch = 2;
  options_.views = 2;  // one image, two crops a step: views 0 and 1 each time
  EXPECT_EQ(crop(0), crop(1));
  options_.views = 3;  // 0 1 | 2 0 | 1 2 | 0 1
  EXPECT_NE(crop(0), crop(1));
  EXPECT_EQ(crop(0), crop(3));
  options_.views = 0;
  EXPECT_NE(crop(0), crop(3));
}

TEST_F(CacheTest, ALargerOneThanAllowedIsRefusedWithItsSize) {
  options_.cache_gb = 1e-6;
  Learner learner = MakeLearner(options_);
  ExpectError(
      [&] {
        FeatureCache(options_, *data_, train_, 20, engine::ResolveCompute(options_.compute), {},
                     learner);
      },
      core::ExitCode::kUsage, "9 crops (3 images, 3 views each) take ");
}

}  // namespace
}  // namespace eosin::segment
