// SPDX-License-Identifier: Apache-2.0
// SimCLR and BYOL as networks: what they compute, what they train, how the target moves, crops.
#include <cmath>

#include "engine/training/schedule.h"
#include "pretrain/heads.h"
#include "pretrain/losses.h"
#include "tests/pretrain/small_method.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

TEST(MethodTest, SimClrIsItsNetworksAndNtXent) {
  const PretrainOptions options = Small("simclr");
  const auto method = MakeMethod(options, SmallEncoder());
  EXPECT_NEAR(method->ChanceLoss(256), 6.236, 1e-3);
  const at::Tensor views = RandomViews(8, 16);
  const StepOutput output = method->Forward({views});
  EXPECT_EQ(output.embedding.sizes(), (std::vector<int64_t>{8, 128}));
  EXPECT_FALSE(output.embedding.requires_grad());
  EXPECT_NEAR(output.loss.item<double>(), NtXent(output.embedding, 0.5).item<double>(), 1e-6);
  output.loss.backward();
  for (const auto& [name, parameter] : method->Trainable()) {
    EXPECT_TRUE(parameter.grad().defined()) << name;
  }
}

TEST(MethodTest, HeadsDependOnTheSeedAndTheirName) {
  PretrainOptions options = Small("byol");
  auto hash = [&](const char* part) {
    return engine::ToStateDict(*MakeMethod(options, SmallEncoder())->parts().at(part)).Hash();
  };
  const std::string projector = hash("projector");
  EXPECT_EQ(projector, hash("projector"));
  EXPECT_EQ(projector, hash("target_projector"));
  options.seed_value = 1;
  EXPECT_NE(projector, hash("projector"));
}

TEST(MethodTest, ByolTargetIsTheAverageOfTheOnlineNetworkAndItsStatistics) {
  PretrainOptions options = Small("byol");
  options.Set("byol.ema", "0.9");
  const auto method = MakeMethod(options, SmallEncoder());
  auto dict = [&](const char* part) { return engine::ToStateDict(*method->parts().at(part)); };
  const at::Tensor views = RandomViews(8, 16);
  const core::StateDict before = dict("target_encoder");
  EXPECT_EQ(before.Hash(), dict("encoder").Hash());
  const StepOutput output = method->Forward({views});
  for (const char* name : {"bn1.running_mean", "bn1.running_var"}) {
    const auto floats = [&](const core::StateDict& d) { return core::ToFloats(*d.Find(name)); };
    EXPECT_EQ(floats(before), floats(dict("target_encoder")))
        << "its forward pass changes no statistics";
    EXPECT_NE(floats(before), floats(dict("encoder")));
  }
  output.loss.backward();
  for (const auto& [name, parameter] : method->Trainable()) {
    EXPECT_TRUE(parameter.grad().defined()) << name;
    EXPECT_EQ(name.find("target"), std::string::npos);
    at::NoGradGuard no_grad;
    parameter.sub_(0.1 * parameter.grad());
  }
  method->AfterStep(0.5);
  const double weight = 1 - engine::EmaMomentum(0.9, 0.5);
  EXPECT_NEAR(weight, 0.05, 1e-12);
  const core::StateDict online = dict("encoder"), target = dict("target_encoder");
  for (const std::string name : {"conv1.weight", "bn1.running_mean", "layer4.1.bn2.running_var"}) {
    const auto b = core::ToFloats(*before.Find(name)), o = core::ToFloats(*online.Find(name)),
               t = core::ToFloats(*target.Find(name));
    double moved = 0;
    for (size_t i = 0; i < b.size(); ++i) {
      EXPECT_NEAR(t[i], b[i] + weight * (o[i] - b[i]), 1e-6) << name;
      moved += std::abs(o[i] - b[i]);
    }
    EXPECT_GT(moved, 0) << name;
  }
  EXPECT_EQ(core::ToFloats(*target.Find("bn1.num_batches_tracked")),
            core::ToFloats(*online.Find("bn1.num_batches_tracked")));
}

// A part of a method, to call it.
torch::nn::Sequential HeadOf(const Method& method, const char* part) {
  return torch::nn::Sequential(
      std::dynamic_pointer_cast<torch::nn::SequentialImpl>(method.parts().at(part)));
}

TEST(MethodTest, LossesByHandWithViewsTogetherAndEachAlone) {
  const at::Tensor a = RandomViews(4, 16, 1), b = 2 * RandomViews(4, 16, 2) + 0.5;
  std::map<std::string, std::vector<double>> losses;
  for (const bool together : {true, false}) {
    // Both views through the parts, as BatchNorm is to see them: rows of a, then of b.
    const auto rows = [&](auto&& net) {
      return together ? net(at::cat({a, b})) : at::cat({net(a), net(b)});
    };
    for (const char* name : {"byol", "simclr"}) {
      PretrainOptions options = Small(name);
      options.concat_views = together;
      const auto method = MakeMethod(options, SmallEncoder());
      engine::ResNet encoder = method->encoder();
      torch::nn::Sequential projector = HeadOf(*method, "projector");
      const at::Tensor z =
          rows([&](const at::Tensor& x) { return projector->forward(encoder->forward(x)); });
      double expected = 0;
      if (std::string(name) == "simclr") {
        expected = NtXent(z, 0.5).item<double>();
      } else {
        // The target is the online network still. 2 - 2 cos, a against b and b against a.
        torch::nn::Sequential predictor = HeadOf(*method, "predictor");
        const at::Tensor p = rows([&](const at::Tensor& x) {
          return predictor->forward(projector->forward(encoder->forward(x)));
        });
        const auto cosine = [&](int64_t i, int64_t j) {
          return at::cosine_similarity(p.narrow(0, i, 4), z.narrow(0, j, 4)).mean().item<double>();
        };
        expected = (2 - 2 * cosine(0, 4)) + (2 - 2 * cosine(4, 0));
      }
      const double loss = method->Forward({at::cat({a, b})}).loss.item<double>();
      EXPECT_NEAR(loss, expected, 1e-5) << name << together;
      losses[name].push_back(loss);
    }
  }
  for (const auto& [name, both] : losses) {
    EXPECT_GT(std::abs(both[0] - both[1]), 1e-3) << name << ": the choice matters to BatchNorm";
  }
}

// Runs a forward pass of a fresh method.
StepOutput FirstStep(const PretrainOptions& options, const std::vector<at::Tensor>& groups) {
  return MakeMethod(options, SmallEncoder())->Forward(groups);
}

TEST(MethodTest, GooglesSumIsTwiceTheMean) {
  PretrainOptions options = Small("simclr");
  const at::Tensor views = RandomViews(8, 16);
  const double mean = FirstStep(options, {views}).loss.item<double>();
  options.Set("simclr.loss", "sum");
  EXPECT_NEAR(FirstStep(options, {views}).loss.item<double>(), 2 * mean, 1e-5);
  const auto method = MakeMethod(options, SmallEncoder());
  EXPECT_NEAR(method->ChanceLoss(256), 2 * 6.236, 2e-3);
  EXPECT_EQ(method->contrast().scale, 2.0);
}

TEST(MethodTest, LightlysByolLossIsAQuarterOfThePapers) {
  PretrainOptions options = Small("byol");
  const at::Tensor views = RandomViews(8, 16);
  const double sum = FirstStep(options, {views}).loss.item<double>();
  options.Set("byol.loss", "cosine");
  EXPECT_NEAR(FirstStep(options, {views}).loss.item<double>(), sum / 4, 1e-6);
  EXPECT_EQ(MakeMethod(options, SmallEncoder())->ChanceLoss(8), 1.0);
}

// Local crops equal to the global ones: every pair then is a pair of the two-view loss or of equal
// views. Separate forward passes, so that BatchNorm sees the same N rows each time.
TEST(MethodTest, SimClrAveragesOverPairsWithAGlobalView) {
  PretrainOptions options = Small("simclr");
  options.concat_views = false;
  const at::Tensor a = RandomViews(4, 16, 1), b = RandomViews(4, 16, 2);
  const auto two = [&](const at::Tensor& x, const at::Tensor& y) {
    return FirstStep(options, {at::cat({x, y})}).loss.item<double>();
  };
  const StepOutput output = FirstStep(options, {at::cat({a, b}), at::cat({a, b})});
  // Pairs: (a, b), then a with a and b with a, a with b and b with b.
  const double expected = (3 * two(a, b) + two(a, a) + two(b, b)) / 5;
  EXPECT_NEAR(output.loss.item<double>(), expected, 1e-5);
  EXPECT_EQ(output.embedding.size(0), 8) << "of the global views alone";
}

TEST(MethodTest, ByolPredictsBothTargetsFromEachLocalCrop) {
  PretrainOptions options = Small("byol");
  options.concat_views = false;
  const at::Tensor a = RandomViews(4, 16, 1), b = RandomViews(4, 16, 2);
  const auto two = [&](const at::Tensor& x, const at::Tensor& y) {
    return FirstStep(options, {at::cat({x, y})}).loss.item<double>();
  };
  // 2 - 2 cos of prediction and target: (a,b) (b,a) | (a,a) (a,b) (b,a) (b,b); two(x, x) holds
  // (x, x) twice. Twice their mean.
  const double sum = 2 * two(a, b) + two(a, a) / 2 + two(b, b) / 2;
  const StepOutput output = FirstStep(options, {at::cat({a, b}), at::cat({a, b})});
  EXPECT_NEAR(output.loss.item<double>(), 2 * sum / 6, 1e-5);
}

TEST(MethodTest, LocalCropsOfAnotherSizeGiveGradients) {
  for (const char* name : {"simclr", "byol"}) {
    const auto method = MakeMethod(Small(name), SmallEncoder());
    const StepOutput output = method->Forward({RandomViews(8, 16), RandomViews(12, 8)});
    output.loss.backward();
    EXPECT_TRUE(std::isfinite(output.loss.item<double>())) << name;
    for (const auto& [parameter, value] : method->Trainable()) {
      EXPECT_TRUE(value.grad().defined()) << name << " " << parameter;
    }
  }
}

TEST(MethodTest, EmaFollowsItsSchedule) {
  // One weight by hand: online 1 above the target; base 0.9, progress 0.25:
  // weight = 0.1 * (1 + cos(pi / 4)) / 2 = 0.0853553; constant: 0.1.
  for (const auto& [schedule, weight] :
       {std::pair{"cosine", 0.0853553391}, std::pair{"constant", 0.1}}) {
    PretrainOptions options = Small("byol");
    options.Set("byol.ema", "0.9");
    options.Set("byol.ema_schedule", schedule);
    const auto method = MakeMethod(options, SmallEncoder());
    const at::NoGradGuard no_grad;
    at::Tensor online = method->parts().at("encoder")->named_parameters()["conv1.weight"];
    const at::Tensor target =
        method->parts().at("target_encoder")->named_parameters()["conv1.weight"];
    const at::Tensor before = target.clone();
    online.add_(1.0);
    method->AfterStep(0.25);
    EXPECT_NEAR((target - before).mean().item<double>(), weight, 1e-6) << schedule;
  }
}

TEST(MethodTest, TheTargetMayKeepItsOwnStatistics) {
  PretrainOptions options = Small("byol");
  options.Set("byol.ema_buffers", "own");
  const auto method = MakeMethod(options, SmallEncoder());
  auto mean = [&](const char* part) {
    return method->parts().at(part)->named_buffers()["bn1.running_mean"].clone();
  };
  const at::Tensor before = mean("target_encoder");
  method->Forward({RandomViews(8, 16)});
  const at::Tensor after = mean("target_encoder");
  EXPECT_FALSE(at::equal(before, after)) << "its forward pass moves them";
  EXPECT_TRUE(at::allclose(after, mean("encoder"))) << "equal weights, equal input";
  method->AfterStep(0.5);
  EXPECT_TRUE(at::equal(after, mean("target_encoder"))) << "the average does not";
}

TEST(MethodTest, WithoutPredictorTheProjectionIsCompared) {
  PretrainOptions options = Small("byol");
  options.Set("byol.predictor", "false");
  const auto method = MakeMethod(options, SmallEncoder());
  EXPECT_EQ(method->parts().count("predictor"), 0u);
  const at::Tensor half = RandomViews(4, 16);
  // Target and online network are equal at the start: equal views agree perfectly.
  EXPECT_NEAR(method->Forward({at::cat({half, half})}).loss.item<double>(), 0.0, 1e-5);
}

TEST(MethodTest, ThePredictorHasItsOwnRate) {
  PretrainOptions options = Small("byol");
  options.Set("byol.predictor_lr_factor", "10");
  const auto groups = MakeMethod(options, SmallEncoder())->ParamGroups(options.optimizer);
  ASSERT_EQ(groups.size(), 4u);  // two rates, with and without decay
  size_t parameters = 0;
  for (const engine::ParamGroup& group : groups) {
    parameters += group.params.size();
    for (size_t i = 0; i < group.names.size(); ++i) {
      EXPECT_EQ(group.lr_scale, group.names[i].starts_with("predictor.") ? 10.0 : 1.0);
      EXPECT_EQ(group.decay, group.params[i].dim() > 1) << group.names[i];
    }
  }
  EXPECT_EQ(parameters, MakeMethod(options, SmallEncoder())->Trainable().size());
  options.optimizer.exclude_bias_and_norm = false;
  for (const auto& group : MakeMethod(options, SmallEncoder())->ParamGroups(options.optimizer)) {
    EXPECT_TRUE(group.decay);
  }
}

}  // namespace
}  // namespace eosin::pretrain
