// SPDX-License-Identifier: Apache-2.0
#include "engine/weights/weights.h"

#include <torch/torch.h>

#include "core/formats/pth.h"
#include "engine/models/resnet.h"
#include "tests/engine/formula.h"

namespace eosin::engine {
namespace {

using core::StateDict;
using eosin::testing::ExpectError;
using eosin::testing::TempFolder;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr auto kBad = core::ExitCode::kBadInput;

ResNet Small(uint64_t seed, const std::string& arch = "resnet18", int classes = 0) {
  ResNet net(ResNetOptions{.arch = arch, .stem = "cifar", .width = 4, .num_classes = classes});
  InitResNet(net, seed);
  net->eval();
  return net;
}

// Renames every tensor.
template <typename Rename>
StateDict Renamed(StateDict dict, Rename&& rename) {
  for (auto& tensor : dict.tensors) tensor.name = rename(tensor.name);
  return dict;
}

StateDict Prefixed(const StateDict& dict, const std::string& prefix) {
  return Renamed(dict, [&](const std::string& name) { return prefix + name; });
}

void Append(StateDict* dict, const StateDict& more) {
  dict->tensors.insert(dict->tensors.end(), more.tensors.begin(), more.tensors.end());
}

std::vector<std::string> Names(const StateDict& dict) {
  std::vector<std::string> names;
  for (const auto& tensor : dict.tensors) names.push_back(tensor.name);
  return names;
}

TEST(Weights, StateDictsComeInPythonsOrder) {
  const auto names = Names(ToStateDict(*Small(1, "resnet18", 2), "net."));
  ASSERT_EQ(names.size(), 122u);
  EXPECT_THAT(std::vector<std::string>(names.begin(), names.begin() + 7),
              ElementsAre("net.conv1.weight", "net.bn1.weight", "net.bn1.bias",
                          "net.bn1.running_mean", "net.bn1.running_var",
                          "net.bn1.num_batches_tracked", "net.layer1.0.conv1.weight"));
  EXPECT_EQ(names.back(), "net.fc.bias");
}

TEST(Weights, LoadsWhatItSaved) {
  const torch::NoGradGuard guard;
  const TempFolder folder;
  ResNet net = Small(1), other = Small(2);
  net->train();
  net->forward(torch::rand({4, 3, 16, 16}));  // moves the statistics
  net->eval();
  core::WritePth(folder / "net.pth", ToStateDict(*net));
  const LoadReport report =
      LoadStateDict(*other, core::ReadWeights(folder / "net.pth"), {.strict = true});
  EXPECT_EQ(report.matched.size(), 120u);
  EXPECT_EQ(report.share_of_parameters, 1.0);
  const at::Tensor x = torch::rand({2, 3, 16, 16});
  EXPECT_TRUE(net->forward(x).equal(other->forward(x)));
  EXPECT_EQ(ToStateDict(*other).Hash(), ToStateDict(*net).Hash());
}

TEST(Weights, SavesChannelsLastAndLoadsIntoIt) {
  ResNet net = Small(1), other = Small(2);
  const std::string hash = ToStateDict(*net).Hash();
  for (auto& p : other->parameters()) {
    if (p.dim() == 4) p.set_data(p.contiguous(at::MemoryFormat::ChannelsLast));
  }
  LoadStateDict(*other, ToStateDict(*net), {.strict = true});
  EXPECT_EQ(ToStateDict(*other).Hash(), hash);
}

TEST(Weights, ConvertsHalvesAndDoesWithoutCounters) {
  ResNet net = Small(1), other = Small(2);
  net->to(at::kBFloat16);
  StateDict dict = ToStateDict(*net);
  std::erase_if(dict.tensors,
                [](const auto& t) { return t.name.ends_with("num_batches_tracked"); });
  const LoadReport report = LoadStateDict(*other, dict, {.strict = true});
  EXPECT_EQ(report.share_of_parameters, 1.0);
  EXPECT_THAT(report.missing, IsEmpty());
  net->to(at::kFloat);
  EXPECT_TRUE(net->parameters()[5].equal(other->parameters()[5]));
  EXPECT_EQ(other->parameters()[5].scalar_type(), at::kFloat);
}

TEST(Weights, RefusesPartialLoadsAndChangesNothingThen) {
  ResNet net = Small(1), other = Small(2);
  const std::string before = ToStateDict(*other).Hash();
  StateDict dict = ToStateDict(*net);
  std::erase_if(dict.tensors, [](const auto& t) { return t.name.starts_with("layer4"); });
  ExpectError([&] { LoadStateDict(*other, dict); }, kBad, "match only");
  ExpectError([&] { LoadStateDict(*other, Prefixed(dict, "x.")); }, kBad, "only 0.0 %");
  EXPECT_EQ(ToStateDict(*other).Hash(), before);
  // Asked for, it is done and reported. layer4 has 3/4 of the weights and more.
  const LoadReport report = LoadStateDict(*other, dict, {.min_share = 0.1});
  EXPECT_THAT(report.missing, Contains("layer4.0.conv1.weight"));
  EXPECT_GT(report.share_of_parameters, 0.2);
  EXPECT_LT(report.share_of_parameters, 0.3);
  EXPECT_THAT(report.Table(), HasSubstr("missing 25"));
  EXPECT_THAT(report.Table(), HasSubstr("layer4.0.conv1.weight"));
}

TEST(Weights, StrictMeansEveryName) {
  ResNet net = Small(1);
  StateDict dict = ToStateDict(*net);
  dict.Add("extra", {1}, {1});
  EXPECT_THAT(LoadStateDict(*net, dict).unexpected, ElementsAre("extra"));
  ExpectError([&] { LoadStateDict(*net, dict, {.strict = true}); }, kBad, "exactly");
}

TEST(Weights, OtherShapesAndTypesAreNamed) {
  ResNet net = Small(1);
  StateDict dict = ToStateDict(*net);
  dict.tensors[0].shape = {12, 1, 3, 3};
  ExpectError([&] { LoadStateDict(*net, dict); }, kBad,
              "conv1.weight: file (12, 1, 3, 3), model (4, 3, 3, 3)");
  const LoadReport report = LoadStateDict(*net, dict, {.allow_mismatched = true});
  EXPECT_EQ(report.mismatched.size(), 1u);
  dict.tensors[0].shape = {4, 3, 3, 3};
  dict.tensors[0].dtype = core::DType::kI32;
  ExpectError([&] { LoadStateDict(*net, dict); }, kBad, "file holds int32");
}

TEST(Weights, AClassifierIsLeftAloneUnlessAskedFor) {
  ResNet net = Small(1, "resnet18", 5), other = Small(2, "resnet18", 3);
  const LoadReport report = LoadStateDict(*other, ToStateDict(*net));
  EXPECT_EQ(report.ignored.size(), 2u);
  EXPECT_EQ(report.share_of_parameters, 1.0);
  ExpectError([&] { LoadStateDict(*other, ToStateDict(*net), {.ignore_prefixes = {}}); }, kBad,
              "fc.weight: file (5, 32), model (3, 32)");
}

struct DialectCase {
  const char* prefix;
  const char* text;  // in the dialect's name
};

TEST(Dialects, PrefixesAreFound) {
  const StateDict trunk = ToStateDict(*Small(1));
  const std::string hash = trunk.Hash();
  for (const auto& [prefix, text] :
       std::vector<DialectCase>{{"", "torchvision"},
                                {"backbone.", "torchvision segmentation"},
                                {"encoder.", "SMP"},
                                {"module.encoder_q.", "MoCo"},
                                {"module.", "DistributedDataParallel"},
                                {"model.backbone.", "Lightning"},
                                {"_orig_mod.", "torch.compile"},
                                {"online_network.encoder.", "BYOL"},
                                {"something.odd.", "prefix something.odd."}}) {
    StateDict dict = Prefixed(trunk, prefix);
    dict.Add(std::string(prefix) + "fc.weight", {1}, {1});
    dict.Add("projector.0.weight", {1}, {1});
    dict.Add("classifier.4.weight", {1}, {1});
    std::string dialect;
    EXPECT_EQ(MapDialect(dict, &dialect).Hash(), hash) << prefix;
    EXPECT_THAT(dialect, HasSubstr(text));
    EXPECT_THAT(dialect, HasSubstr("3 other tensors not used"));
  }
}

TEST(Dialects, LightlysNumbersAreNamed) {
  const StateDict trunk = ToStateDict(*Small(1, "resnet50"));
  const StateDict numbered = Renamed(trunk, [](const std::string& name) {
    const std::vector<std::pair<std::string, std::string>> parts = {
        {"conv1.", "0."},  {"bn1.", "1."},    {"layer1.", "4."},
        {"layer2.", "5."}, {"layer3.", "6."}, {"layer4.", "7."}};
    for (const auto& [part, number] : parts) {
      if (name.starts_with(part)) return "backbone." + number + name.substr(part.size());
    }
    return name;
  });
  ASSERT_NE(numbered.Find("backbone.4.0.conv1.weight"), nullptr);
  std::string dialect;
  EXPECT_EQ(MapDialect(numbered, &dialect).Hash(), trunk.Hash());
  EXPECT_THAT(dialect, HasSubstr("lightly"));
}

TEST(Dialects, MomentumCopiesStepBack) {
  const StateDict fast = ToStateDict(*Small(1)), slow = ToStateDict(*Small(2));
  for (const auto& [a, b] : std::vector<std::pair<std::string, std::string>>{
           {"encoder_q.", "encoder_k."},
           {"online_network.", "target_network."},
           {"backbone.", "momentum_backbone."},
           {"student.backbone.", "teacher.backbone."}}) {
    for (const bool slow_first : {false, true}) {
      StateDict dict = slow_first ? Prefixed(slow, b) : Prefixed(fast, a);
      Append(&dict, slow_first ? Prefixed(fast, a) : Prefixed(slow, b));
      EXPECT_EQ(MapDialect(dict).Hash(), fast.Hash()) << a;
    }
  }
  // Alone, a momentum copy is taken.
  EXPECT_EQ(MapDialect(Prefixed(slow, "teacher.backbone.")).Hash(), slow.Hash());
}

TEST(Dialects, WhatIsNoTrunkIsNamed) {
  StateDict dict;
  dict.Add("blocks.0.attn.qkv.weight", {1}, {1});
  ExpectError([&] { MapDialect(dict); }, kBad, "blocks.0.attn.qkv.weight");
  ExpectError([&] { MapDialect({}); }, kBad, "no ResNet trunk");
  StateDict deep = ToStateDict(*Small(1));
  deep.tensors[0].name = "conv1.0.weight";
  ExpectError([&] { MapDialect(deep); }, kBad, "another stem");
  StateDict two = Prefixed(ToStateDict(*Small(1)), "left.");
  Append(&two, Prefixed(ToStateDict(*Small(1)), "right."));
  ExpectError([&] { MapDialect(two); }, kBad, "2 ResNet trunks, under \"left.\" and \"right.\"");
}

TEST(Dialects, TrunksAreDescribed) {
  for (const char* arch : {"resnet18", "resnet34", "resnet50"}) {
    const TrunkInfo info = DescribeTrunk(ToStateDict(*Small(1, arch)));
    EXPECT_EQ(info.arch, arch);
    EXPECT_EQ(info.stem, "cifar");
    EXPECT_EQ(info.width, 4);
  }
  EXPECT_EQ(DescribeTrunk({}).arch, "");
}

TEST(LoadEncoder, SaysWhatTheFileHoldsWhenItDoesNotFit) {
  const TempFolder folder;
  ResNet net = Small(1), other = Small(2), deeper = Small(2, "resnet34");
  core::WritePth(folder / "net.pth", Prefixed(ToStateDict(*net), "module.encoder_q."));
  const LoadReport report = LoadEncoder(*other, folder / "net.pth");
  EXPECT_EQ(ToStateDict(*other).Hash(), ToStateDict(*net).Hash());
  EXPECT_THAT(report.Table(), HasSubstr("MoCo"));
  try {
    LoadEncoder(*deeper, folder / "net.pth");
    ADD_FAILURE() << "a resnet18 was loaded into a resnet34";
  } catch (const core::WeightsError& error) {
    EXPECT_THAT(error.what(), HasSubstr("net.pth: the weights match only"));
    EXPECT_THAT(error.hint(), HasSubstr("the file holds a resnet18 with cifar stem, width 4"));
  }
}

}  // namespace
}  // namespace eosin::engine
