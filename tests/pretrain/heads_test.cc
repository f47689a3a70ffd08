// SPDX-License-Identifier: Apache-2.0
// Heads by name and shape, as each published recipe has them.
#include "pretrain/heads.h"

#include <ATen/core/grad_mode.h>

#include "tests/pretrain/small_method.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

using Expected = std::map<std::string, std::vector<int64_t>>;

// The part of a method made from a preset with an encoder of 64 features.
Expected HeadOf(const std::string& preset, const std::string& part) {
  const auto method = MakeMethod(Preset(preset), SmallEncoder());
  return Shapes(*method->parts().at(part));
}

Expected Norm(const std::string& index, int64_t width) {
  Expected shapes;
  for (const char* name : {".weight", ".bias", ".running_mean", ".running_var"}) {
    shapes[index + name] = {width};
  }
  return shapes;
}

Expected operator+(Expected a, const Expected& b) {
  a.insert(b.begin(), b.end());
  return a;
}

TEST(HeadTest, GoogleHasThreeLayersEachWithBatchNorm) {
  // Linear-BN-ReLU-Linear-BN-ReLU-Linear-BN, no linear biases, middle = features (64 here).
  EXPECT_EQ(HeadOf("simclr-google", "projector"),
            (Expected{{"0.weight", {64, 64}}, {"3.weight", {64, 64}}, {"6.weight", {128, 64}}}) +
                Norm("1", 64) + Norm("4", 64) + Norm("7", 128));
  const auto method = MakeMethod(Preset("simclr-google"), SmallEncoder());
  for (const auto& [name, parameter] : method->Trainable()) {
    EXPECT_NE(name, "projector.7.bias") << "its last BatchNorm learns no offset";
  }
  EXPECT_EQ(method->parts().at("projector")->named_parameters().size(), 9u);
}

TEST(HeadTest, LightlyHasTwoWithBatchNormSoloNone) {
  EXPECT_EQ(HeadOf("simclr-lightly", "projector"),
            (Expected{{"0.weight", {2048, 64}}, {"3.weight", {128, 2048}}}) + Norm("1", 2048) +
                Norm("4", 128));
  EXPECT_EQ(HeadOf("simclr-lightly-cifar", "projector"),
            (Expected{{"0.weight", {512, 64}}, {"3.weight", {128, 512}}}) + Norm("1", 512) +
                Norm("4", 128));
  EXPECT_EQ(HeadOf("simclr-solo-cifar", "projector"), (Expected{{"0.weight", {2048, 64}},
                                                                {"0.bias", {2048}},
                                                                {"2.weight", {256, 2048}},
                                                                {"2.bias", {256}}}));
  EXPECT_EQ(HeadOf("stl10-baseline", "projector"), (Expected{{"0.weight", {512, 64}},
                                                             {"0.bias", {512}},
                                                             {"2.weight", {128, 512}},
                                                             {"2.bias", {128}}}));
}

TEST(HeadTest, ByolsProjectorAndPredictorAreAlike) {
  const auto head = [](int64_t in, int64_t hidden, bool hidden_bias, bool out_bias) {
    Expected shapes{{"0.weight", {hidden, in}}, {"3.weight", {256, hidden}}};
    if (hidden_bias) shapes["0.bias"] = {hidden};
    if (out_bias) shapes["3.bias"] = {256};
    return shapes + Norm("1", hidden);
  };
  for (const char* preset : {"byol-100", "byol-300", "byol-1000"}) {
    EXPECT_EQ(HeadOf(preset, "projector"), head(64, 4096, true, false)) << preset;
    EXPECT_EQ(HeadOf(preset, "predictor"), head(256, 4096, true, false)) << preset;
    EXPECT_EQ(HeadOf(preset, "target_projector"), head(64, 4096, true, false)) << preset;
  }
  EXPECT_EQ(HeadOf("byol-lightly-cifar", "projector"), head(64, 1024, false, true));
  EXPECT_EQ(HeadOf("byol-lightly-cifar", "predictor"), head(256, 1024, false, true));
  EXPECT_EQ(HeadOf("byol-solo-cifar", "projector"), head(64, 4096, true, true));
}

TEST(HeadTest, OneLayerAndPlainNorms) {
  HeadOptions options;
  options.in = 8;
  options.out = 4;
  options.layers = 1;
  options.out_bias = true;
  EXPECT_EQ(Shapes(*MakeHead(options, 0, "h")), (Expected{{"0.weight", {4, 8}}, {"0.bias", {4}}}));
  options.layers = 3;
  options.hidden = 6;
  options.out_bias = false;
  options.out_norm = HeadNorm::kPlain;  // SimSiam's projector
  auto head = MakeHead(options, 0, "h");
  EXPECT_EQ(Shapes(*head).count("7.weight"), 0u);
  EXPECT_EQ(Shapes(*head).at("7.running_mean"), (std::vector<int64_t>{4}));
  const at::NoGradGuard no_grad;
  const at::Tensor out = head->forward(torch::randn({32, 8}));
  EXPECT_NEAR(out.mean(0).abs().max().item<double>(), 0, 1e-5);
  EXPECT_NEAR(out.var(0, false).mean().item<double>(), 1, 1e-2);
  testing::ExpectError([] { ParseHeadNorm("batch"); }, core::ExitCode::kUsage, "batch");
}

}  // namespace
}  // namespace eosin::pretrain
