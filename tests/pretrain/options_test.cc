// SPDX-License-Identifier: Apache-2.0
// Options and the monitor: no tensors are made here.
#include "pretrain/options.h"

#include "core/base/files.h"
#include "pretrain/monitor.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

using testing::ExpectError;
constexpr auto kUsage = core::ExitCode::kUsage;

TEST(PretrainOptionsTest, TheMethodDecidesTheStartAndKeysWin) {
  const PretrainOptions simclr = ReadOptions("", "", {});
  EXPECT_EQ(simclr.method, "simclr");
  const PretrainOptions byol = ReadOptions("", "", {{"method", "byol"}, {"optimizer.lr", "0.7"}});
  EXPECT_EQ(byol.optimizer.lr, 0.7);
  EXPECT_GT(byol.view_a.rot90_probability, 0) << "histology: tiles have no up";
  testing::TempFolder temp;
  core::WriteFileAtomic(temp / "c.toml", "method = \"byol\"\n[train]\nbatch = 8\nepochs = 3\n");
  const PretrainOptions file = ReadOptions("", temp / "c.toml", {{"train.batch", "16"}});
  EXPECT_EQ(file.method, "byol");
  EXPECT_EQ(file.epochs, 3);
  EXPECT_EQ(file.batch, 16);
  EXPECT_EQ(file.optimizer.lr, Preset("byol-histology").optimizer.lr);
}

TEST(PretrainOptionsTest, ResolvesStemAndViewSize) {
  const PretrainOptions small = ReadOptions("", "", {{"data.size", "48"}});
  EXPECT_EQ(small.stem, "cifar");
  EXPECT_EQ(small.view_a.size, 48);
  EXPECT_EQ(small.view_b.size, 48);
  EXPECT_EQ(ReadOptions("", "", {}).stem, "imagenet");
}

TEST(PretrainOptionsTest, LocalViewsAreSmallerThanGlobalOnes) {
  // Equal sizes would be one group to the loader, and local views taken for global ones.
  for (const auto& [size, local] : {std::pair{"224", 96}, std::pair{"96", 40}, std::pair{"128", 56},
                                    std::pair{"48", 24}, std::pair{"32", 16}, std::pair{"16", 8}}) {
    for (const char* preset : {"", "byol-lightly-cifar", "stl10-baseline"}) {
      const PretrainOptions options = ReadOptions(
          preset, "", {{"data.path", "x"}, {"data.size", size}, {"views.local_count", "4"}});
      EXPECT_EQ(options.view_local.size, local) << preset << size;
      options.Check();
    }
  }
  const auto given = [](const char* size, const char* local) {
    ReadOptions("", "",
                {{"data.path", "x"},
                 {"data.size", size},
                 {"views.local_count", "4"},
                 {"view_local.size", local}})
        .Check();
  };
  given("96", "88");
  ExpectError([&] { given("96", "96"); }, kUsage, "view_local.size = 96 is not below");
  ExpectError([&] { given("96", "128"); }, kUsage, "view_local.size = 128 is not below");
  // The stem's least view is as large as these.
  ExpectError(
      [] {
        ReadOptions("", "",
                    {{"data.path", "x"},
                     {"data.size", "32"},
                     {"model.stem", "imagenet"},
                     {"views.local_count", "1"}})
            .Check();
      },
      kUsage, "view_local.size = 32 is not below");
}

TEST(PretrainOptionsTest, SizesFollowUnlessTheyAreNamed) {
  // 224 is a size like another.
  ExpectError(
      [] {
        ReadOptions("", "", {{"data.path", "x"}, {"data.size", "96"}, {"view_a.size", "224"}})
            .Check();
      },
      kUsage, "view_a.size = 224 differs");
  testing::TempFolder temp;
  core::WriteFileAtomic(temp / "c.toml", std::string("[data]\nsize = 96\n[view_b]\nsize = 224\n"));
  ExpectError([&] { ReadOptions("", temp / "c.toml", {{"data.path", "x"}}).Check(); }, kUsage,
              "view_b.size = 224 differs");
  // A written config names them all; another size is still one key.
  core::WriteFileAtomic(temp / "c.toml", ReadOptions("", "", {{"data.path", "x"}}).ToToml());
  const PretrainOptions other =
      ReadOptions("", temp / "c.toml", {{"data.size", "96"}, {"views.local_count", "2"}});
  other.Check();
  EXPECT_EQ(other.view_a.size, 96);
  EXPECT_EQ(other.view_local.size, 40);
}

TEST(PretrainOptionsTest, TheWrittenConfigRepeatsTheRun) {
  for (const std::string& name : PresetNames()) {
    PretrainOptions options = ReadOptions(name, "", {{"data.path", "tiles"}, {"seed", "9"}});
    options.Check();
    testing::TempFolder temp;
    core::WriteFileAtomic(temp / "config.toml", options.ToToml());
    EXPECT_EQ(ReadOptions("", temp / "config.toml", {}).ToToml(), options.ToToml()) << name;
  }
}

TEST(PretrainOptionsTest, MistakesNameTheKey) {
  ExpectError([] { Preset("moco"); }, kUsage, "moco");
  ExpectError([] { ReadOptions("", "", {{"method", "moco"}}); }, kUsage, "moco");
  ExpectError([] { ReadOptions("", "", {{"train.epoch", "3"}}); }, kUsage, "train.epoch");
  ExpectError([] { ReadOptions("", "", {}).Check(); }, kUsage, "no data");
  PretrainOptions options = ReadOptions("", "", {{"data.path", "x"}, {"data.size", "64"}});
  options.view_b.size = 32;
  ExpectError([&] { options.Check(); }, kUsage, "view_b.size");
  ExpectError(
      [] {
        ReadOptions("", "", {{"data.path", "x"}, {"data.size", "16"}, {"model.stem", "imagenet"}})
            .Check();
      },
      kUsage, "model.stem");
}

TEST(MonitorTest, WarnsOnceAndOnlyWhenItLasts) {
  Monitor monitor(5.0);
  MonitorSample bad{.step = 10, .progress = 0.5, .loss = 4.9, .feature_spread = 0.01};
  EXPECT_TRUE(monitor.Look(bad).empty());
  EXPECT_TRUE(monitor.Look(bad).empty());
  const auto warnings = monitor.Look(bad);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], ::testing::HasSubstr("collapse"));
  EXPECT_TRUE(monitor.Look(bad).empty());
}

TEST(MonitorTest, TellsDivergenceAndAStarvingLoaderApart) {
  Monitor monitor(5.0);
  monitor.Look({.step = 1, .progress = 0.1, .loss = 4.9, .feature_spread = 0.9, .data_wait = 0.9});
  MonitorSample sample{
      .step = 10, .progress = 0.5, .loss = 6.5, .feature_spread = 0.9, .data_wait = 0.6};
  EXPECT_TRUE(monitor.Look(sample).empty());
  EXPECT_TRUE(monitor.Look(sample).empty()) << "the first look does not count for the loader";
  auto warnings = monitor.Look(sample);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], ::testing::HasSubstr("--workers"));
  EXPECT_TRUE(monitor.Look(sample).empty());
  warnings = monitor.Look(sample);  // five in a row
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], ::testing::HasSubstr("learning rate"));
}

TEST(MonitorTest, SaysNothingAboutAHealthyRun) {
  Monitor monitor(5.0);
  for (int i = 1; i <= 100; ++i) {
    EXPECT_TRUE(monitor
                    .Look({.step = i,
                           .progress = i / 100.0,
                           .loss = i < 4 ? 6.0 : 4.0,
                           .feature_spread = i == 50 ? 0.05 : 0.8,
                           .data_wait = i == 1 ? 0.9 : 0.1})
                    .empty());
  }
}

}  // namespace
}  // namespace eosin::pretrain
