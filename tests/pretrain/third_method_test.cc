// SPDX-License-Identifier: Apache-2.0
// A third method touches no other file: this one registers itself here, and has its keys, presets,
// help, written config and training step. (It pulls views of an image together and has no means
// against collapse; it is for this test alone.)
#include <ATen/TensorOperators.h>

#include "core/base/files.h"
#include "pretrain/losses.h"
#include "tests/pretrain/small_method.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

using testing::ExpectError;

struct PullOptions : CloneableOptions<PullOptions> {
  double strength = 1;
  void Bind(core::OptionSet& set, const std::string& prefix) override {
    set.Add(prefix + ".strength", &strength, {.doc = "of the pull", .min = 0});
  }
  void Check(const std::string& prefix) const override {
    if (strength == 13) throw core::ConfigError(prefix + ".strength = 13", "choose another one");
  }
  std::unique_ptr<Method> Make(const MethodSetup& setup) const override;
};

class Pull : public Method {
 public:
  Pull(double strength, const MethodSetup& setup) : Method(setup.encoder), strength_(strength) {
    parts_ = {{"encoder", encoder_.ptr()}};
  }
  StepOutput Forward(const std::vector<at::Tensor>& groups) override {
    const at::Tensor features = encoder_->forward(groups.at(0));
    const int64_t n = features.size(0) / 2;
    const at::Tensor apart = features.narrow(0, 0, n) - features.narrow(0, n, n);
    return {strength_ * apart.square().mean(), features.detach()};
  }
  void AfterStep(double) override {}
  double ChanceLoss(int64_t) const override { return strength_; }

 private:
  double strength_;
};

std::unique_ptr<Method> PullOptions::Make(const MethodSetup& setup) const {
  return std::make_unique<Pull>(strength, setup);
}

const bool kRegistered =
    RegisterMethod({.name = "pull",
                    .summary = "views of an image attract each other",
                    .make_options = [] { return std::make_unique<PullOptions>(); },
                    .presets = {{"pull-strong", "for tests", [](PretrainOptions& o) {
                                   o.methods.As<PullOptions>("pull").strength = 3;
                                   o.batch = 4;
                                 }}}});

TEST(ThirdMethodTest, IsThereInNamesKeysAndHelp) {
  ASSERT_TRUE(kRegistered);
  std::vector<std::string> names;
  for (const MethodEntry& entry : Methods()) names.push_back(entry.name);
  EXPECT_THAT(names, ::testing::IsSupersetOf({"byol", "pull", "simclr"}));
  EXPECT_THAT(PresetNames(), ::testing::Contains("pull-strong"));
  EXPECT_THAT(PresetHelp(), ::testing::HasSubstr("pull-strong"));
  PretrainOptions options;
  core::OptionSet set;
  options.Bind(set);
  EXPECT_TRUE(set.Has("pull.strength"));
  EXPECT_THAT(set.Help(), ::testing::HasSubstr("pull, "));
}

TEST(ThirdMethodTest, AConfigHoldsTheTableOfItsOwnMethodAlone) {
  // A program that knows one method less, or more, reads the others' configs.
  const std::string other = ReadOptions("", "", {{"data.path", "x"}}).ToToml();
  EXPECT_THAT(other, ::testing::HasSubstr("[simclr]"));
  EXPECT_THAT(other, ::testing::Not(::testing::HasSubstr("pull")));
  EXPECT_THAT(other, ::testing::Not(::testing::HasSubstr("[byol]")));
  const PretrainOptions own =
      ReadOptions("", "", {{"method", "pull"}, {"data.path", "x"}, {"pull.strength", "5"}});
  EXPECT_THAT(own.ToToml(), ::testing::HasSubstr("[pull]"));
  EXPECT_THAT(own.ToToml(), ::testing::Not(::testing::HasSubstr("[simclr]")));
  testing::TempFolder temp;
  core::WriteFileAtomic(temp / "config.toml", own.ToToml());
  EXPECT_EQ(ReadOptions("", temp / "config.toml", {}).ToToml(), own.ToToml());
}

TEST(ThirdMethodTest, ItsNameAloneStartsFromItsFirstPreset) {
  const PretrainOptions options = ReadOptions("", "", {{"method", "pull"}, {"data.path", "x"}});
  EXPECT_EQ(options.methods.As<PullOptions>("pull").strength, 3);
  EXPECT_EQ(options.batch, 4);
  const PretrainOptions set = ReadOptions("", "", {{"method", "pull"}, {"pull.strength", "0.5"}});
  EXPECT_EQ(set.methods.As<PullOptions>("pull").strength, 0.5);
  ExpectError([] { ReadOptions("", "", {{"pull.strength", "-1"}}); }, core::ExitCode::kUsage,
              "pull.strength");
  ExpectError(
      [] {
        ReadOptions("", "", {{"method", "pull"}, {"data.path", "x"}, {"pull.strength", "13"}})
            .Check();
      },
      core::ExitCode::kUsage, "pull.strength = 13");
  // The options of a method that is not in use are not judged.
  ReadOptions("", "", {{"data.path", "x"}, {"pull.strength", "13"}}).Check();
}

TEST(ThirdMethodTest, CopiesOfOptionsAreTheirOwn) {
  PretrainOptions a = Preset("pull-strong");
  PretrainOptions b = a;
  b.Set("pull.strength", "7");
  EXPECT_EQ(a.methods.As<PullOptions>("pull").strength, 3);
  a = b;
  b.Set("pull.strength", "8");
  EXPECT_EQ(a.methods.As<PullOptions>("pull").strength, 7);
}

TEST(ThirdMethodTest, TrainsAStep) {
  PretrainOptions options = ReadOptions("pull-strong", "", {{"optimizer.lr", "0.05"}});
  const auto method = MakeMethod(options, SmallEncoder());
  engine::Optimizer optimizer(options.optimizer, method->ParamGroups(options.optimizer));
  const at::Tensor views = RandomViews(8, 16);
  double first = 0, last = 0;
  for (int step = 0; step < 3; ++step) {
    optimizer.ZeroGrad();
    const StepOutput output = method->Forward({views});
    output.loss.backward();
    optimizer.Step(0.05);
    method->AfterStep(1);
    last = output.loss.item<double>();
    if (step == 0) first = last;
  }
  EXPECT_LT(last, first);
}

TEST(RegistryTest, MistakesAreNamed) {
  ExpectError([] { FindMethod("mocco"); }, core::ExitCode::kUsage, "mocco");
  PretrainOptions options;
  options.method = "mocco";
  ExpectError([&] { MakeMethod(options, SmallEncoder()); }, core::ExitCode::kUsage, "mocco");
  EXPECT_THROW(RegisterMethod({.name = "pull"}), std::logic_error);
}

}  // namespace
}  // namespace eosin::pretrain
