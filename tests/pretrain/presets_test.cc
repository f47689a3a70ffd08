// SPDX-License-Identifier: Apache-2.0
// Published presets number by number, older names, and the config files that repeat two of them.
// EOSIN_UPDATE_CONFIGS=1 writes configs/pretrain-*.toml anew after an option was added.
#include <cstdlib>

#include "core/base/files.h"
#include "engine/training/schedule.h"
#include "pretrain/options.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

namespace fs = std::filesystem;
using testing::ExpectError;

std::string ToToml(const PretrainOptions& options) { return options.ToToml(); }

struct Row {
  const char* preset;
  const char* arch;
  int64_t size, batch, epochs;
  const char* optimizer;  // with lars: its dialect
  double peak;            // rate after warm-up at that batch
  double decay;
  bool exclude;
  double warmup;
  const char* schedule;
  bool concat;
  const char *view_a, *view_b;  // engine's recipes
};

// Peaks by hand: lr * batch / 256, or lr * sqrt(batch) for google and lightly on ImageNet.
const Row kRows[] = {
    {"simclr-histology", "resnet50", 224, 256, 100, "sgd", 0.12, 1e-4, true, 10, "eosin", true,
     "histology", "histology"},
    {"simclr-google", "resnet50", 224, 4096, 100, "google", 4.8, 1e-4, true, 10, "google", true,
     "simclr", "simclr"},
    {"simclr-google-cifar", "resnet18", 32, 512, 1000, "google", 2.0, 1e-4, true, 10, "google",
     true, "simclr_cifar", "simclr_cifar"},
    {"simclr-lightly", "resnet50", 224, 256, 100, "lightly", 1.2, 1e-6, true, 10, "lightly", true,
     "simclr", "simclr"},
    {"simclr-lightly-cifar", "resnet18", 32, 512, 200, "sgd", 0.24, 5e-4, false, 0, "eosin", false,
     "simclr_cifar", "simclr_cifar"},
    {"simclr-solo-cifar", "resnet18", 32, 256, 1000, "solo", 0.4, 1e-4, true, 10, "solo", false,
     "solo_symmetric", "solo_symmetric"},
    {"simclr-simsiam-cifar", "resnet18", 32, 512, 800, "sgd", 0.06, 5e-4, false, 0, "eosin", true,
     "simclr_cifar", "simclr_cifar"},
    {"stl10-baseline", "resnet50", 96, 128, 100, "adam", 3e-4, 1e-4, false, 0, "eosin", true,
     "simclr", "simclr"},
    {"byol-histology", "resnet50", 224, 256, 100, "sgd", 0.1, 1e-4, true, 10, "eosin", true,
     "histology", "histology"},
    {"byol-100", "resnet50", 224, 4096, 100, "byol", 7.2, 1e-6, true, 10, "google", false, "byol_a",
     "byol_b"},
    {"byol-300", "resnet50", 224, 4096, 300, "byol", 4.8, 1e-6, true, 10, "google", false, "byol_a",
     "byol_b"},
    {"byol-1000", "resnet50", 224, 4096, 1000, "byol", 3.2, 1.5e-6, true, 10, "google", false,
     "byol_a", "byol_b"},
    {"byol-lightly-cifar", "resnet18", 32, 512, 200, "sgd", 0.24, 5e-4, false, 0, "eosin", false,
     "byol_cifar_a", "byol_cifar_b"},
    {"byol-solo-cifar", "resnet18", 32, 256, 1000, "solo", 1.0, 1e-5, true, 10, "solo", false,
     "solo_asymmetric_a", "solo_asymmetric_b"},
    {"byol-stl10", "resnet50", 96, 128, 100, "adam", 3e-4, 1e-4, false, 0, "eosin", true, "simclr",
     "simclr"},
};

// Every key of a recipe but its size.
std::string RecipeText(engine::ViewRecipe recipe) {
  recipe.size = 224;
  core::OptionSet set;
  recipe.Bind(set, "view");
  return set.ToToml();
}

TEST(PresetTest, NumbersOfThePublishedRecipes) {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.preset);
  EXPECT_THAT(PresetNames(), ::testing::IsSupersetOf(names));
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.preset);
    const PretrainOptions o = ReadOptions(row.preset, "", {{"data.path", "x"}});
    o.Check();
    EXPECT_EQ(o.arch, row.arch);
    EXPECT_EQ(o.stem, row.size == 32 ? "cifar" : "imagenet");
    EXPECT_EQ(o.size, row.size);
    EXPECT_EQ(o.view_a.size, row.size);
    EXPECT_EQ(o.batch, row.batch);
    EXPECT_EQ(o.epochs, row.epochs);
    EXPECT_EQ(o.optimizer.name == "lars" ? o.optimizer.lars_dialect : o.optimizer.name,
              row.optimizer);
    EXPECT_NEAR(engine::ScaledLr(o.optimizer.lr, o.schedule.scale, o.batch), row.peak, 1e-12);
    EXPECT_EQ(o.optimizer.weight_decay, row.decay);
    EXPECT_EQ(o.optimizer.exclude_bias_and_norm, row.exclude);
    EXPECT_EQ(o.optimizer.eta, o.optimizer.lars_dialect == "solo" ? 0.02 : 1e-3);
    EXPECT_EQ(o.schedule.warmup_epochs, row.warmup);
    EXPECT_EQ(o.schedule.dialect, row.schedule);
    EXPECT_EQ(o.schedule.per_epoch, row.batch == 512 && row.epochs == 200);
    EXPECT_EQ(o.concat_views, row.concat);
    for (const auto& [view, name] :
         {std::pair{&o.view_a, row.view_a}, std::pair{&o.view_b, row.view_b}}) {
      engine::ViewRecipe recipe = engine::ViewRecipe::Preset(name);
      // The SimSiam paper's crops are larger than SimCLR's.
      if (row.preset == std::string("simclr-simsiam-cifar")) recipe.crop_scale_min = 0.2;
      EXPECT_EQ(RecipeText(*view), RecipeText(recipe));
    }
  }
}

// One line of a resolved config.
std::string Value(const std::string& preset, const std::string& table, const std::string& key) {
  const std::string text = "\n" + ToToml(Preset(preset));
  const size_t start = text.find("\n[" + table + "]\n");
  const size_t line = text.find("\n" + key + " = ", start);
  const size_t value = line + key.size() + 4;
  return text.substr(value, text.find('\n', value) - value);
}

TEST(PresetTest, LossesAndMovingAverages) {
  for (const auto& [preset, tau] :
       {std::pair{"simclr-google", "0.1"}, std::pair{"simclr-google-cifar", "0.5"},
        std::pair{"simclr-lightly", "0.1"}, std::pair{"simclr-lightly-cifar", "0.5"},
        std::pair{"simclr-solo-cifar", "0.2"}, std::pair{"stl10-baseline", "0.5"},
        std::pair{"simclr-simsiam-cifar", "0.5"}, std::pair{"simclr-histology", "0.5"}}) {
    EXPECT_EQ(Value(preset, "simclr", "temperature"), tau) << preset;
    const bool google = std::string(preset).find("google") != std::string::npos;
    EXPECT_EQ(Value(preset, "simclr", "loss"), google ? "\"sum\"" : "\"mean\"") << preset;
  }
  for (const auto& [preset, ema] :
       {std::pair{"byol-100", "0.99"}, std::pair{"byol-300", "0.99"},
        std::pair{"byol-1000", "0.996"}, std::pair{"byol-lightly-cifar", "0.99"},
        std::pair{"byol-solo-cifar", "0.99"}, std::pair{"byol-stl10", "0.99"},
        std::pair{"byol-histology", "0.99"}}) {
    EXPECT_EQ(Value(preset, "byol", "ema"), ema) << preset;
    const bool lightly = std::string(preset).find("lightly") != std::string::npos;
    EXPECT_EQ(Value(preset, "byol", "ema_schedule"), lightly ? "\"constant\"" : "\"cosine\"");
    EXPECT_EQ(Value(preset, "byol", "loss"), lightly ? "\"cosine\"" : "\"sum\"");
  }
}

TEST(PresetTest, ViewsOfTilesTurnAllWaysAndOthersDoNot) {
  for (const std::string& name : PresetNames()) {
    const PretrainOptions o = Preset(name);
    const bool tiles = name.find("histology") != std::string::npos;
    for (const engine::ViewRecipe* view : {&o.view_a, &o.view_b}) {
      EXPECT_EQ(view->rot90_probability, tiles ? 1.0 : 0.0) << name;
      EXPECT_EQ(view->vflip_probability, tiles ? 0.5 : 0.0) << name;
    }
  }
  const PretrainOptions byol = Preset("byol-100");
  EXPECT_EQ(byol.view_a.blur_probability, 1.0);
  EXPECT_EQ(byol.view_b.solarize_probability, 0.2);
}

TEST(PresetTest, OlderNamesStillWork) {
  for (const auto& [alias, name] :
       {std::pair{"simclr-cifar", "simclr-lightly-cifar"},
        std::pair{"byol-cifar", "byol-lightly-cifar"}, std::pair{"simclr-natural", "simclr-google"},
        std::pair{"byol-natural", "byol-100"}, std::pair{"simclr-stl10", "stl10-baseline"}}) {
    EXPECT_EQ(ToToml(Preset(alias)), ToToml(Preset(name)));
    EXPECT_THAT(PresetNames(), ::testing::Not(::testing::Contains(alias)));
  }
  ExpectError([] { Preset("simclr-gogle"); }, core::ExitCode::kUsage, "simclr-gogle");
}

TEST(PresetTest, AnotherSizeIsOneKey) {
  for (const std::string& name : PresetNames()) {
    const PretrainOptions o = ReadOptions(name, "", {{"data.path", "x"}, {"data.size", "128"}});
    o.Check();
    EXPECT_EQ(o.view_a.size, 128) << name;
    EXPECT_EQ(o.stem, "imagenet") << name;
  }
}

TEST(PresetTest, LocalViewsFollowTheGlobalOnes) {
  PretrainOptions o = ReadOptions("", "", {{"data.path", "x"}, {"views.local_count", "6"}});
  o.Check();
  const auto views = o.Views();
  ASSERT_EQ(views.size(), 8u);
  EXPECT_EQ(views[1].size, 224);
  EXPECT_EQ(views[2].size, 96);
  EXPECT_EQ(views[7].size, 96);
  o.view_local.size = 16;
  ExpectError([&] { o.Check(); }, core::ExitCode::kUsage, "view_local.size");
}

TEST(PresetTest, SetsComeFromOnePlace) {
  ExpectError([] { ReadOptions("", "", {{"data.path", "x"}, {"data.mix", "1:a,2:b"}}).Check(); },
              core::ExitCode::kUsage, "data.mix");
  const PretrainOptions mixed = ReadOptions("", "", {{"data.mix", "1:a,2:b"}});
  mixed.Check();
  EXPECT_EQ(mixed.mix, (std::vector<std::string>{"1:a", "2:b"}));
}

TEST(ConfigFileTest, HoldEveryKeyOfTheirPreset) {
  for (const auto& [method, title] : {std::pair{"simclr", "SimCLR"}, std::pair{"byol", "BYOL"}}) {
    const std::string name = std::string("pretrain-") + method + ".toml";
    const fs::path path = fs::path(EOSIN_SOURCE_DIR) / "configs" / name;
    const PretrainOptions options = ReadOptions(std::string(method) + "-histology", "", {});
    const std::string text = std::string("# ") + title +
                             " on histology tiles: every key with its default.\n#\n"
                             "#   eosin pretrain --config configs/" +
                             name + " --data tiles --out runs/" + method + "\n\n" + ToToml(options);
    if (std::getenv("EOSIN_UPDATE_CONFIGS")) core::WriteFileAtomic(path, text);
    EXPECT_EQ(core::ReadFile(path), text)
        << "run this test once with EOSIN_UPDATE_CONFIGS=1 and look at the difference";
    EXPECT_EQ(ToToml(ReadOptions("", path, {})), ToToml(options));
  }
}

}  // namespace
}  // namespace eosin::pretrain
