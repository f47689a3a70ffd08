// SPDX-License-Identifier: Apache-2.0
// Weights files of other programs: whole nets and backbones by model.init, what is refused, and the
// hash in a file's name.
#include "segment/model/net_dialect.h"

#include <torch/types.h>
#include <array>
#include <functional>
#include <map>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/formats/pth.h"
#include "core/formats/safetensors.h"
#include "engine/training/input.h"
#include "engine/weights/weights.h"
#include "segment/model/build_model.h"
#include "tests/segment/tiny_run.h"

namespace eosin::segment {
namespace {

using core::StateDict;
using testing::ExpectError;
using testing::TempFolder;
using testing::TinyOptions;

constexpr auto kBad = core::ExitCode::kBadInput;

using Metadata = std::map<std::string, std::string>;
using Rename = std::function<std::string(const std::string&)>;

StateDict Renamed(StateDict dict, const Rename& rename) {
  for (auto& tensor : dict.tensors) tensor.name = rename(tensor.name);
  return dict;
}

Rename Prefix(const std::string& prefix) {
  return [prefix](const std::string& name) { return prefix + name; };
}

// Torchvision's names to segmentation_models.pytorch's, of today or of its first versions.
Rename ToSmpV3(bool first_versions) {
  return [first_versions](const std::string& name) {
    const std::vector<std::array<const char*, 3>> parts = {
        {"backbone.", "encoder.", "encoder."},
        {"classifier.0.", "decoder.aspp.", "decoder.0."},
        {"classifier.1.", "decoder.conv.", "decoder.1."},
        {"classifier.2.", "decoder.bn.", "decoder.2."},
        {"classifier.4.", "segmentation_head.0.", "segmentation_head.0."}};
    for (const auto& part : parts) {
      const std::string ours = part[0];
      if (name.starts_with(ours)) return part[first_versions ? 2 : 1] + name.substr(ours.size());
    }
    return name;
  };
}

StateDict Net(const std::string& head, uint64_t seed, bool aux = false, int classes = 2) {
  SegmentOptions options = TinyOptions();
  options.head = head;
  options.seed = static_cast<int64_t>(seed);
  options.aux = aux;
  options.data.classes.resize(static_cast<size_t>(classes), "more");
  return engine::ToStateDict(*BuildModel(options).net);
}

TEST(NetDialect, EveryOneIsFoundUnderAnyPrefix) {
  const StateDict v3 = Net("deeplabv3", 1), aux = Net("deeplabv3", 1, true),
                  plus = Net("deeplabv3plus", 1);
  struct Case {
    StateDict file, wanted;
    const char *head, *name;
    bool exact;
  };
  for (const Case& one :
       {Case{v3, v3, "deeplabv3", "torchvision", true},
        Case{aux, aux, "deeplabv3", "torchvision", true},
        Case{plus, plus, "deeplabv3plus", "DeepLabV3Plus", true},
        Case{Renamed(v3, ToSmpV3(false)), v3, "deeplabv3", "pytorch DeepLabV3", false},
        Case{Renamed(v3, ToSmpV3(true)), v3, "deeplabv3", "first versions", false}}) {
    // HEST's Lightning files, DistributedDataParallel, torch.compile.
    for (const char* prefix : {"", "model.", "module.", "_orig_mod.", "net.module."}) {
      StateDict file = Renamed(one.file, Prefix(prefix));
      file.Add("loss.weight", {2}, {1, 1});
      file.Add(std::string(prefix) + "classification_head.3.weight", {1}, {1});
      const MappedNet mapped = MapSegmentationNet(file);
      EXPECT_EQ(mapped.tensors.Hash(), one.wanted.Hash()) << one.name << " " << prefix;
      EXPECT_EQ(mapped.head, one.head);
      EXPECT_EQ(mapped.exact, one.exact);
      EXPECT_THAT(mapped.dialect, ::testing::HasSubstr(one.name));
      EXPECT_THAT(mapped.dialect, ::testing::HasSubstr("2 other tensors not used"));
    }
  }
  EXPECT_EQ(
      DescribeNet(MapSegmentationNet(aux)),
      "deeplabv3 on resnet18 (imagenet stem, width 8), 16 head channels, 2 classes, aux head");
}

TEST(NetDialect, WhatIsNoneOrTwoIsRefused) {
  ExpectError([] { MapSegmentationNet({}); }, kBad, "no DeepLabV3");
  const StateDict plus = Net("deeplabv3plus", 1);
  StateDict two = Renamed(plus, Prefix("model."));
  for (const auto& tensor : Renamed(plus, Prefix("ema.")).tensors) two.tensors.push_back(tensor);
  ExpectError([&] { MapSegmentationNet(two); }, kBad, "two segmentation nets");
}

// Writes a file and builds a model from it.
class InitTest : public ::testing::Test {
 protected:
  BuiltModel Build(const StateDict& file, const std::string& part,
                   const std::function<void(SegmentOptions&)>& change = {}) {
    SegmentOptions options = TinyOptions();
    options.seed = 7;
    options.init = (temp_ / "start.pth").string();
    options.init_part = part;
    core::WritePth(options.init, file);
    if (change) change(options);
    return BuildModel(options);
  }
  // Entries of `net` that are equal in `other`, by beginning of name.
  static int Equal(const SegmentationNet& net, const StateDict& other, const std::string& prefix) {
    int count = 0;
    for (const auto& tensor : engine::ToStateDict(*net).tensors) {
      const core::TensorBlob* found = other.Find(tensor.name);
      if (tensor.name.starts_with(prefix) && tensor.name.ends_with("weight") && found != nullptr &&
          tensor.shape.size() == 4) {
        count += found->data == tensor.data;
      }
    }
    return count;
  }
  TempFolder temp_;
};

TEST_F(InitTest, BackboneBodyOrAll) {
  const StateDict file = Net("deeplabv3", 1);
  BuiltModel backbone = Build(file, "backbone");
  EXPECT_EQ(Equal(backbone.net, file, "backbone."), 20);
  EXPECT_EQ(Equal(backbone.net, file, "classifier."), 0);
  BuiltModel body = Build(file, "body");
  EXPECT_EQ(Equal(body.net, file, "backbone."), 20);
  EXPECT_EQ(Equal(body.net, file, "classifier."), 7);  // all but the last of eight
  EXPECT_EQ(Equal(body.net, file, "classifier.4."), 0);
  BuiltModel all = Build(file, "all");
  EXPECT_EQ(Equal(all.net, file, ""), 28);
  EXPECT_EQ(engine::ToStateDict(*all.net).Hash(), file.Hash());
  // A body serves other classes; all does not.
  const StateDict five = Net("deeplabv3", 1, false, 5);
  EXPECT_EQ(Equal(Build(five, "body").net, five, "classifier."), 7);
  ExpectError([&] { Build(five, "all"); }, kBad, "classifier.4.weight: file (5, 16, 1, 1)");
}

TEST_F(InitTest, AuxHeadsAreDroppedButNeverMissed) {
  const StateDict with = Net("deeplabv3", 1, true), without = Net("deeplabv3", 1);
  EXPECT_EQ(engine::ToStateDict(*Build(with, "all").net).Hash(), without.Hash());
  const auto aux = [](SegmentOptions& options) { options.aux = true; };
  EXPECT_EQ(engine::ToStateDict(*Build(with, "all", aux).net).Hash(), with.Hash());
  ExpectError([&] { Build(without, "all", aux); }, kBad, "aux_classifier");
}

TEST_F(InitTest, NothingIsLoadedInPart) {
  const StateDict plus = Net("deeplabv3plus", 1);
  const auto use_plus = [](SegmentOptions& options) { options.head = "deeplabv3plus"; };
  EXPECT_EQ(engine::ToStateDict(*Build(plus, "all", use_plus).net).Hash(), plus.Hash());
  ExpectError([&] { Build(plus, "all"); }, kBad, "the weights are a deeplabv3plus");
  StateDict torn = plus;
  std::erase_if(torn.tensors, [](const auto& t) { return t.name == "decoder.block1.0.weight"; });
  ExpectError([&] { Build(torn, "all", use_plus); }, kBad, "decoder.block1.0.weight");
  // A backbone that lacks one stage's last block is refused, too: it was 95 % before.
  StateDict short_trunk = plus;
  std::erase_if(short_trunk.tensors,
                [](const auto& t) { return t.name.starts_with("encoder.layer1.1."); });
  ExpectError([&] { Build(short_trunk, "backbone", use_plus); }, kBad, "match only");
  const auto plain = [](SegmentOptions& options) {
    options.head = "deeplabv3plus";
    options.separable = false;
  };
  ExpectError([&] { Build(plus, "all", plain); }, kBad, "match only");
}

TEST_F(InitTest, BackbonesOfOtherPrograms) {
  const StateDict trunk = engine::MapDialect(Net("deeplabv3", 1));
  const StateDict wanted = Renamed(trunk, Prefix("backbone."));
  const auto numbered = [](const std::string& name) {  // lightly
    const std::vector<std::pair<std::string, std::string>> parts = {
        {"conv1.", "0."},  {"bn1.", "1."},    {"layer1.", "4."},
        {"layer2.", "5."}, {"layer3.", "6."}, {"layer4.", "7."}};
    for (const auto& [part, number] : parts) {
      if (name.starts_with(part)) return "backbone." + number + name.substr(part.size());
    }
    return name;
  };
  std::vector<StateDict> files = {trunk};  // torchvision and Lunit
  for (const char* prefix : {"backbone.", "encoder.", "model.backbone.", "module.encoder_q."}) {
    files.push_back(Renamed(trunk, Prefix(prefix)));
  }
  files.push_back(Renamed(trunk, numbered));
  for (const StateDict& file : files) {
    BuiltModel model = Build(file, "backbone");
    EXPECT_EQ(Equal(model.net, wanted, "backbone."), 20) << file.tensors[0].name;
    EXPECT_EQ(model.matched, 1.0);
  }
}

TEST_F(InitTest, NormalizationIsTheFilesTheOptionsOrImageNets) {
  const StateDict file = Net("deeplabv3", 1);
  EXPECT_EQ(Build(file, "all").normalization, engine::Normalization());
  const auto given = [](SegmentOptions& o) { o.normalization = "0.7,0.5,0.6,0.2,0.25,0.2"; };
  EXPECT_EQ(Build(file, "all", given).normalization.mean[0], 0.7f);
  std::map<std::string, std::string> metadata;
  engine::AddToMetadata({{0.1f, 0.2f, 0.3f}, {0.4f, 0.5f, 0.6f}}, &metadata);
  const auto path = temp_ / "own.safetensors";
  core::WriteSafetensors(path, file, metadata);
  const auto own = [&](SegmentOptions& o) { o.init = path.string(); };
  EXPECT_EQ(Build(file, "all", own).normalization.mean[0], 0.1f);
  EXPECT_EQ(Build(file, "backbone", own).normalization.std[2], 0.6f);
  ExpectError([&] { Build(file, "all", [](SegmentOptions& o) { o.normalization = "lunit"; }); },
              core::ExitCode::kUsage, "model.normalization = \"lunit\"");
}

// A net under dilations or an output stride that are not those of its file is another net.
class GeometryTest : public InitTest {
 protected:
  // What the log says while a deeplabv3(plus) of the file is built with these rates.
  std::string LogOf(const StateDict& file, const std::string& part, std::vector<double> rates,
                    int64_t stride, const Metadata& metadata,
                    const std::string& head = "deeplabv3") {
    const fs::path path = temp_ / "net.safetensors", log = temp_ / "log.txt";
    core::WriteSafetensors(path, file, metadata);
    fs::remove(log);
    const core::LogFile keep(log);
    Build(file, part, [&](SegmentOptions& options) {
      options.init = path.string();
      options.head = head;
      options.rates = rates;
      options.output_stride = stride;
    });
    return core::ReadFile(log);
  }
  const Metadata own_{{"eosin.rates", "6,12,18"}, {"eosin.output_stride", "16"}};
};

TEST_F(GeometryTest, AFileThatSaysItsDilations) {
  const StateDict file = Net("deeplabv3", 1);
  const auto no_warning = ::testing::Not(::testing::HasSubstr("warning"));
  EXPECT_THAT(LogOf(file, "all", {6, 12, 18}, 16, own_), no_warning);
  EXPECT_THAT(LogOf(file, "body", {6, 12, 18}, 16, own_), no_warning);
  EXPECT_THAT(LogOf(file, "backbone", {1, 2, 3}, 8, own_), no_warning);
  ExpectError([&] { LogOf(file, "all", {1, 2, 3}, 16, own_); }, core::ExitCode::kUsage,
              "has dilations 6,12,18 at output stride 16, but this run has dilations 1,2,3 at "
              "output stride 16");
  ExpectError([&] { LogOf(file, "all", {6, 12, 18}, 8, own_); }, core::ExitCode::kUsage,
              "at output stride 8");
  EXPECT_THAT(LogOf(file, "body", {6, 12, 18}, 8, own_),
              ::testing::HasSubstr("model.rates = [6,12,18] and model.output_stride = 16"));
}

TEST_F(GeometryTest, OneThatDoesNotIsComparedWithWhatWasPublished) {
  const StateDict v3 = Net("deeplabv3", 1), plus = Net("deeplabv3plus", 1);
  const auto warns = ::testing::HasSubstr("does not say its dilations");
  const std::vector<double> published = {12, 24, 36};
  for (const char* part : {"body", "all"}) {
    EXPECT_THAT(LogOf(v3, part, published, 8, {}), ::testing::Not(warns));
    EXPECT_THAT(LogOf(plus, part, published, 16, {}, "deeplabv3plus"), ::testing::Not(warns));
    EXPECT_THAT(LogOf(v3, part, published, 16, {}), warns);
    EXPECT_THAT(LogOf(plus, part, published, 8, {}, "deeplabv3plus"), warns);
    EXPECT_THAT(LogOf(v3, part, {6, 12, 18}, 8, {}),
                ::testing::HasSubstr("has dilations 12,24,36 at output stride 8, but this run has "
                                     "dilations 6,12,18 at output stride 8"));
    // Another program's arithmetic, which is warned about in its own words.
    EXPECT_THAT(LogOf(Renamed(v3, ToSmpV3(false)), part, {6, 12, 18}, 8, {}),
                ::testing::Not(warns));
  }
}

TEST_F(GeometryTest, ImageNetsNormalisationIsSaidWhereItIsAGuess) {
  const StateDict file = Net("deeplabv3", 1);
  const auto guess = ::testing::HasSubstr("input normalised by ImageNet's");
  Metadata metadata = own_;
  EXPECT_THAT(LogOf(file, "all", {6, 12, 18}, 16, metadata), guess);
  EXPECT_THAT(LogOf(file, "backbone", {6, 12, 18}, 16, metadata), guess);
  engine::AddToMetadata({}, &metadata);
  EXPECT_THAT(LogOf(file, "all", {6, 12, 18}, 16, metadata), ::testing::Not(guess));
}

TEST(HashInName, FollowsTorchHub) {
  EXPECT_EQ(engine::HashInName("resnet50-0676ba61.pth"), "0676ba61");
  EXPECT_EQ(engine::HashInName("/a-b/resnet50-11ad3fa6.pth"), "11ad3fa6");
  EXPECT_EQ(engine::HashInName("deeplabv3_resnet50_coco-cd0a2569.pth"), "cd0a2569");
  EXPECT_EQ(engine::HashInName("resnet50-12345678.pth"), "12345678");
  EXPECT_EQ(engine::HashInName("deeplabv3_resnet50_coco-12345678.pth"), "12345678");
  EXPECT_EQ(engine::HashInName("enc-1234567a.pth"), "1234567a");
  for (const char* none :
       {"resnet50.pth", "model-best.pth", "run-20240131.pth", "x-0676BA61.pth", "x-abc.pth",
        "checkpoint-00012.pth", "enc-202401311530.pth", "glas-12345678.pth",
        "my_resnet50-12345678.pth", "resnet-12345678.pth", "resnet50-20240131.pth"}) {
    EXPECT_EQ(engine::HashInName(none), "") << none;
  }
}

TEST_F(InitTest, AFileThatIsNotWhatItsNameSaysIsRefused) {
  const StateDict file = Net("deeplabv3", 1);
  core::WritePth(temp_ / "plain.pth", file);
  const std::string hash = core::Sha256File(temp_ / "plain.pth").substr(0, 8);
  const auto good = temp_ / ("resnet18-" + hash + ".pth"), bad = temp_ / "resnet18-0badc0de.pth";
  fs::copy(temp_ / "plain.pth", good);
  fs::copy(temp_ / "plain.pth", bad);
  for (const char* part : {"backbone", "all"}) {
    const auto use = [](const fs::path& path) {
      return [path](SegmentOptions& options) { options.init = path.string(); };
    };
    EXPECT_NO_THROW(Build(file, part, use(good)));
    ExpectError([&] { Build(file, part, use(bad)); }, kBad, "begins with 0badc0de, but it begins");
  }
}

}  // namespace
}  // namespace eosin::segment
