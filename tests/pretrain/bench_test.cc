// SPDX-License-Identifier: Apache-2.0
// Benchmarks on tiny sets in the layout of the published binaries.
#include <ATen/Parallel.h>
#include <cmath>
#include <fstream>
#include <functional>
#include <set>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "core/formats/csv.h"
#include "eval/encoder.h"
#include "pretrain/bench/report.h"
#include "pretrain/bench/run.h"
#include "pretrain/method.h"
#include "pretrain/trainer.h"
#include "tests/testing.h"

namespace eosin::pretrain {
namespace {

namespace fs = std::filesystem;
using testing::ExpectError;
using testing::TempFolder;

// Pictures of `classes` colours with a little noise, labels in turn.
std::string Picture(int label, int side, uint32_t index) {
  std::string pixels;
  core::PhiloxStream random(1, core::DrawPurpose::kTest, static_cast<uint32_t>(side), index);
  for (int c = 0; c < 3; ++c) {
    const int level = 40 + 60 * ((label >> c) & 1);
    for (int p = 0; p < side * side; ++p) {
      pixels.push_back(static_cast<char>(level + static_cast<int>(random.Below(30))));
    }
  }
  return pixels;
}

void WriteCifar(const fs::path& file, int images, uint32_t first) {
  std::string bytes;
  for (int i = 0; i < images; ++i) {
    const int label = i % 4;
    bytes.push_back(static_cast<char>(label));
    bytes += Picture(label, 32, first + static_cast<uint32_t>(i));
  }
  core::WriteFileAtomic(file, bytes);
}

fs::path MakeCifar(const fs::path& folder) {
  fs::create_directories(folder);
  for (uint32_t b = 1; b <= 3; ++b) {
    WriteCifar(folder / ("data_batch_" + std::to_string(b) + ".bin"), 12, 100 * b);
  }
  WriteCifar(folder / "test_first_1000.bin", 8, 900);
  return folder;
}

fs::path MakeStl(const fs::path& folder) {
  fs::create_directories(folder);
  const auto write = [&](const std::string& name, int images, uint32_t first, bool labels) {
    std::string x, y;
    for (int i = 0; i < images; ++i) {
      x += Picture(i % 4, 96, first + static_cast<uint32_t>(i));
      y.push_back(static_cast<char>(i % 4 + 1));
    }
    core::WriteFileAtomic(folder / (name + "_X.bin"), x);
    if (labels) core::WriteFileAtomic(folder / (name + "_y.bin"), y);
  };
  write("train", 20, 0, true);
  write("unlabeled", 6, 200, false);
  write("test", 8, 300, true);
  std::string folds;
  for (int f = 0; f < 10; ++f) {
    for (int i = 0; i < 8; ++i) folds += std::to_string((2 * f + i) % 20) + " ";
    folds += "\n";
  }
  core::WriteFileAtomic(folder / "fold_indices.txt", folds);
  return folder;
}

BenchOptions Tiny(BenchOptions o, const fs::path& data) {
  o.data = data.string();
  o.methods = {"simclr"};
  o.batches = {8};
  o.study_batch = 8;
  o.seeds = 1;
  o.epochs = 1;
  o.width = 4;
  o.workers = 1;
  o.compute.device = "cpu";
  o.compute.threads = 1;
  return o;
}

int Column(const core::CsvTable& table, const std::string& name) {
  EXPECT_GE(table.Column(name), 0) << name;
  return table.Column(name);
}

TEST(BenchPlan, TheStudyOfTheIssue) {
  BenchOptions options = BenchOptions::Cifar10();
  options.data = "somewhere";
  const std::vector<BenchCell> cells = PlanCells(options);
  // (4 augmentations + 3 further batch sizes) x 2 methods x 2 protocols x 3 seeds.
  EXPECT_EQ(cells.size(), 84u);
  std::set<std::string> names;
  for (const BenchCell& cell : cells) {
    names.insert(cell.name);
    EXPECT_EQ(cell.pretrain.epochs, 200);
    EXPECT_EQ(cell.pretrain.arch, "resnet18");
    EXPECT_EQ(cell.pretrain.stem, "cifar");
    EXPECT_EQ(cell.pretrain.size, 32);
    EXPECT_EQ(cell.pretrain.width, 64);
    EXPECT_EQ(cell.pretrain.batch, cell.batch);
    EXPECT_EQ(cell.pretrain.seed_value, cell.seed);
    EXPECT_TRUE(cell.batch == 512 || cell.augment == "full");
  }
  EXPECT_EQ(names.size(), cells.size());
  EXPECT_EQ(cells[0].name, "simclr-minimal-b512-test-s0");
  EXPECT_EQ(cells[27].seed, 0);  // all of one seed before the next
  EXPECT_EQ(cells[28].seed, 1);
  EXPECT_THAT(names,
              ::testing::IsSupersetOf({"byol-aggressive-b512-holdout-s2",
                                       "simclr-full-b1024-test-s1", "byol-full-b128-holdout-s0"}));
  // Views and the rate are the recipe's: 0.06 * batch / 128, as lightly's.
  const BenchCell& minimal = cells[0];
  EXPECT_EQ(minimal.pretrain.view_a.jitter_probability, 0);
  EXPECT_EQ(minimal.pretrain.view_b.hflip_probability, 0);
  EXPECT_EQ(minimal.pretrain.optimizer.lr, 0.12);
  EXPECT_EQ(minimal.pretrain.schedule.scale, "linear");

  options.full_cross = true;
  EXPECT_EQ(PlanCells(options).size(), 2u * 16 * 2 * 3);
  options.assign = {"simclr.temperature=0.2"};
  core::OptionSet set;
  PretrainOptions changed = PlanCells(options)[0].pretrain;
  changed.Bind(set);
  EXPECT_THAT(set.ToToml(), ::testing::HasSubstr("temperature = 0.2"));
}

TEST(BenchPlan, Stl10IsItsBaseline) {
  BenchOptions options = BenchOptions::Stl10();
  options.data = "somewhere";
  const std::vector<BenchCell> cells = PlanCells(options);
  ASSERT_EQ(cells.size(), 6u);
  EXPECT_EQ(cells[0].name, "resnet50-simclr-simclr-b128-folds-s0");
  EXPECT_EQ(cells[1].arch, "resnet18");
  for (const BenchCell& cell : cells) {
    EXPECT_EQ(cell.pretrain.optimizer.name, "adam");
    EXPECT_EQ(cell.pretrain.optimizer.lr, 3e-4);
    EXPECT_EQ(cell.pretrain.optimizer.weight_decay, 1e-4);
    EXPECT_EQ(cell.pretrain.epochs, 100);
    EXPECT_EQ(cell.pretrain.batch, 128);
    EXPECT_EQ(cell.pretrain.size, 96);
  }
}

TEST(BenchPlan, Stl10RunsEveryMethodByOneProtocol) {
  BenchOptions options = BenchOptions::Stl10();
  options.data = "somewhere";
  options.methods = {"simclr", "byol"};
  options.archs = {"resnet50"};
  options.seeds = 1;
  const std::vector<BenchCell> cells = PlanCells(options);
  ASSERT_EQ(cells.size(), 2u);
  EXPECT_EQ(cells[1].pretrain.method, "byol");
  // All keys but the method's own are the same.
  PretrainOptions byol = cells[1].pretrain;
  byol.method = "simclr";
  const std::string own = cells[0].pretrain.ToToml(), other = byol.ToToml();
  EXPECT_EQ(own.substr(0, own.find("\n[simclr]")), other.substr(0, other.find("\n[simclr]")));
}

struct BareOptions : CloneableOptions<BareOptions> {
  void Bind(core::OptionSet&, const std::string&) override {}
  std::unique_ptr<Method> Make(const MethodSetup&) const override { return nullptr; }
};
const bool kBare = RegisterMethod({.name = "bare",
                                   .summary = "a method without presets, for tests",
                                   .make_options = [] { return std::make_unique<BareOptions>(); },
                                   .presets = {}});

TEST(BenchPlan, MistakesAreNamed) {
  ASSERT_TRUE(kBare);
  BenchOptions options = BenchOptions::Cifar10();
  ExpectError([&] { PlanCells(options); }, core::ExitCode::kUsage, "no data");
  options.data = "x";
  options.batches = {128.5};
  ExpectError([&] { PlanCells(options); }, core::ExitCode::kUsage, "128.5");
  options.batches = {128};
  options.protocols = {"folds"};
  ExpectError([&] { PlanCells(options); }, core::ExitCode::kUsage, "folds");
  options.protocols = {"test"};
  options.augment = {"strong"};
  ExpectError([&] { PlanCells(options); }, core::ExitCode::kUsage, "strong");
  options.augment = {"full"};
  options.methods = {"simclrr"};
  ExpectError([&] { PlanCells(options); }, core::ExitCode::kUsage, "simclrr");
  options.methods = {"bare"};
  ExpectError([&] { PlanCells(options); }, core::ExitCode::kUsage, "no preset bare-cifar");
  BenchOptions stl = BenchOptions::Stl10();
  stl.data = "x";
  stl.methods = {"simclr", "bare"};
  ExpectError([&] { PlanCells(stl); }, core::ExitCode::kUsage, "no preset bare-stl10");
  options.methods = {};
  ExpectError([&] { PlanCells(options); }, core::ExitCode::kUsage, "bench.methods is empty");
}

TEST(BenchReport, IntervalsByHand) {
  const SeedSummary s = Summarise({0.80, 0.82, 0.84}, 1000);
  EXPECT_NEAR(s.mean, 0.82, 1e-12);
  EXPECT_NEAR(s.high - s.mean, 0.0496827542, 1e-9);  // t(2) = 4.302653, sd 0.02, root of 3
  EXPECT_NEAR(s.test_low, 0.7949777671, 1e-9);       // Wilson
  EXPECT_NEAR(s.test_high, 0.8425731075, 1e-9);
  EXPECT_EQ(s.Text(), "82.0 [77.0, 87.0]");
  const SeedSummary two = Summarise({0.5, 0.61}, 10);
  EXPECT_TRUE(std::isnan(two.low));
  EXPECT_EQ(two.Text(), "50.0, 61.0");
  EXPECT_EQ(Summarise({}, 10).Text(), "");
}

TEST(BenchReport, PublishedFiguresOnlyBesideTheirOwnSetting) {
  BenchOptions options = BenchOptions::Cifar10();
  BenchCell cell;
  cell.method = "simclr";
  cell.augment = "full";
  cell.arch = "resnet18";
  cell.protocol = "test";
  cell.batch = 512;
  EXPECT_EQ(PublishedKnn(options, cell).figure, "84.8");
  EXPECT_THAT(PublishedKnn(options, cell).source, ::testing::HasSubstr("lightly"));
  options.epochs = 100;
  EXPECT_EQ(PublishedKnn(options, cell).figure, "");
  options.epochs = 800;
  cell.method = "byol";
  EXPECT_EQ(PublishedKnn(options, cell).figure, "91.0");
  cell.protocol = "holdout";
  EXPECT_EQ(PublishedKnn(options, cell).figure, "");
  cell.protocol = "test";
  EXPECT_EQ(PublishedKnn(options, cell).figure, "91.0");
  // Another budget, network, recipe or kNN is another setting.
  const std::vector<std::function<void(BenchOptions&)>> changes = {
      [](BenchOptions& o) { o.images = 600; }, [](BenchOptions& o) { o.test_images = 500; },
      [](BenchOptions& o) { o.width = 32; },   [](BenchOptions& o) { o.assign = {"byol.ema=0.9"}; },
      [](BenchOptions& o) { o.knn_k = 20; },   [](BenchOptions& o) { o.knn_temperature = 0.2; }};
  for (size_t i = 0; i < changes.size(); ++i) {
    BenchOptions changed = options;
    changes[i](changed);
    EXPECT_EQ(PublishedKnn(changed, cell).figure, "") << i;
  }
}

TEST(BenchReport, AFigureOfOtherTestImagesIsAReferenceInWords) {
  TempFolder temp;
  BenchOptions options = BenchOptions::Cifar10();
  BenchResults results;
  results.protocols = {{"test", "all", "some"}};
  BenchRow row;
  row.cell.method = "simclr";
  row.cell.augment = "full";
  row.cell.arch = "resnet18";
  row.cell.protocol = "test";
  row.cell.batch = 512;
  core::WriteFileAtomic(temp / "bench.toml", std::string());
  const auto summary = [&](double knn, int64_t images) {
    row.score = BenchScore{.knn = knn, .test = images};
    results.rows = {row};
    WriteBenchReport(options, results, temp.path());
    return core::ReadFile(temp / "summary.md");
  };
  const std::string whole = summary(0.85, 10000);
  EXPECT_THAT(whole, ::testing::HasSubstr("| 84.8 |"));
  EXPECT_THAT(whole, ::testing::Not(::testing::HasSubstr("For reference")));
  const std::string part = summary(0.85, 1000);
  EXPECT_THAT(part, ::testing::Not(::testing::HasSubstr("| 84.8 |")));
  EXPECT_THAT(part, ::testing::HasSubstr("84.8 % of 10000 test images there; that is inside"));
  EXPECT_THAT(summary(0.7, 1000), ::testing::HasSubstr("that is outside"));
  options.width = 32;
  EXPECT_THAT(summary(0.85, 1000), ::testing::Not(::testing::HasSubstr("84.8")));
}

TEST(BenchData, ProtocolsShareNoImage) {
  TempFolder temp;
  BenchOptions options = Tiny(BenchOptions::Cifar10(), MakeCifar(temp / "cifar"));
  const BenchData test = OpenBenchData(options, "test");
  EXPECT_EQ(test.learn->size(), 36);
  EXPECT_EQ(test.test->size(), 8);
  EXPECT_EQ(test.test_name, "test_first_1000.bin, 8 images");
  const BenchData holdout = OpenBenchData(options, "holdout");
  EXPECT_EQ(holdout.learn->size(), 24);
  EXPECT_EQ(holdout.test_name, "data_batch_3.bin, 12 images");
  for (int64_t i = 0; i < holdout.learn->size(); ++i) {
    EXPECT_EQ(holdout.learn->name(i).rfind("data_batch_3", 0), std::string::npos);
  }
  options.images = 10;
  options.test_images = 5;
  const BenchData few = OpenBenchData(options, "holdout");
  EXPECT_EQ(few.learn->size(), 10);
  EXPECT_EQ(few.bank->size(), 10);
  EXPECT_EQ(few.test->size(), 5);
  for (int64_t i = 0; i < 10; ++i) EXPECT_EQ(few.learn->name(i), few.bank->name(i));
  options.test = "none.bin";
  ExpectError([&] { OpenBenchData(options, "test"); }, core::ExitCode::kBadInput, "none.bin");
  options.data = (temp / "nowhere").string();
  ExpectError([&] { OpenBenchData(options, "test"); }, core::ExitCode::kBadInput, "nowhere");
}

class BenchRun : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
  TempFolder temp_;
};

TEST_F(BenchRun, GoesOnWhereItStoodAndReportsAll) {
  BenchOptions options = Tiny(BenchOptions::Cifar10(), MakeCifar(temp_ / "cifar"));
  options.augment = {"minimal", "full"};
  const fs::path out = temp_ / "out";
  const std::string first = "simclr-minimal-b8-test-s0", second = "simclr-full-b8-test-s0";

  // Interrupted after the first cell.
  ExpectError(
      [&] { RunBench(options, out, [&](const std::string& name) { return name == second; }); },
      core::ExitCode::kInterrupted, second);
  EXPECT_TRUE(fs::exists(out / "results.csv"));
  EXPECT_TRUE(fs::exists(out / "runs" / first / "score.json"));
  const auto written = fs::last_write_time(out / "runs" / first / "score.json");

  // The second was begun by a process that was killed in the middle.
  {
    const std::vector<BenchCell> cells = PlanCells(options);
    ASSERT_EQ(cells[1].name, second);
    PretrainOptions cell = cells[1].pretrain;
    core::OptionSet set;
    cell.Bind(set);
    auto run = engine::RunFolder::Create(out / "runs" / second, "pretrain", set.ToToml());
    const BenchData data = OpenBenchData(options, "test");
    ExpectError(
        [&] { RunPretrain(cell, *data.learn, run, false, [](int64_t s) { return s == 2; }); },
        core::ExitCode::kInterrupted, "after step 2");
  }
  const BenchResults results = RunBench(options, out);
  EXPECT_EQ(results.rows.size(), 4u);
  EXPECT_EQ(results.finished(), 4);
  EXPECT_EQ(results.trained, 3);
  EXPECT_EQ(results.resumed, 1);
  EXPECT_EQ(fs::last_write_time(out / "runs" / first / "score.json"), written);

  const core::CsvTable table = core::ReadCsv(out / "results.csv");
  ASSERT_EQ(table.rows.size(), 8u);  // 4 cells, pixels and random init of 2 protocols
  const auto cell = [&](size_t row, const std::string& column) {
    return table.rows[row][static_cast<size_t>(Column(table, column))];
  };
  EXPECT_EQ(cell(0, "cell"), first);
  EXPECT_EQ(cell(0, "learnt_images"), "36");
  EXPECT_EQ(cell(2, "learnt_images"), "24");
  EXPECT_EQ(cell(2, "test"), "data_batch_3.bin, 12 images");
  EXPECT_EQ(cell(0, "epochs"), "1");
  EXPECT_EQ(cell(1, "seconds"), "");  // it was made in two goes
  EXPECT_NE(cell(0, "seconds"), "");
  for (size_t row = 0; row < 8; ++row) {
    const double knn = std::stod(cell(row, "knn_top1"));
    EXPECT_TRUE(knn >= 0 && knn <= 1);
  }
  // The colours tell the classes apart, so pixels suffice.
  EXPECT_EQ(cell(4, "cell"), "raw pixels");
  EXPECT_EQ(std::stod(cell(4, "knn_top1")), 1);
  EXPECT_EQ(cell(4, "linear_top1"), "");
  EXPECT_EQ(cell(5, "cell"), "random resnet18");
  EXPECT_EQ(cell(5, "seed"), "0");
  EXPECT_EQ(cell(4, "seed"), "");
  // What was scored is the encoder that lies there.
  EXPECT_EQ(cell(0, "encoder_sha256"),
            eval::Fingerprint(*eval::OpenEncoder(out / "runs" / first).net));
  EXPECT_NE(cell(0, "encoder_sha256"), cell(5, "encoder_sha256"));
  const std::string summary = core::ReadFile(out / "summary.md");
  EXPECT_THAT(summary, ::testing::HasSubstr("Smoke figures: 1 epochs"));
  EXPECT_THAT(summary, ::testing::HasSubstr("a network of width 4 instead of 64"));
  EXPECT_THAT(core::ReadFile(out / "report.html"), ::testing::HasSubstr("raw pixels"));

  // Nothing is left to do; another budget is refused; fewer cells are not.
  options.methods = {"simclr"};
  options.augment = {"full"};
  EXPECT_EQ(RunBench(options, out).trained, 0);
  options.epochs = 2;
  ExpectError([&] { RunBench(options, out); }, core::ExitCode::kUsage, "epochs = 2");
  options.epochs = 1;
  options.compute.precision = "bf16";
  ExpectError([&] { RunBench(options, out); }, core::ExitCode::kUsage, "precision = \"bf16\"");
  options.compute.precision = "auto";
  options.compute.threads = 2;
  EXPECT_EQ(RunBench(options, out).trained, 0) << "threads are the machine's";
  // Scores of other images are not taken for scores of these.
  WriteCifar(temp_ / "cifar/test_first_1000.bin", 9, 900);
  ExpectError([&] { RunBench(options, out); }, core::ExitCode::kBadInput, "score of other data");
}

TEST_F(BenchRun, RefusesBatchesLargerThanTheSetAndForeignFolders) {
  BenchOptions options = Tiny(BenchOptions::Cifar10(), MakeCifar(temp_ / "cifar"));
  options.batches = {8, 64};
  ExpectError([&] { RunBench(options, temp_ / "out"); }, core::ExitCode::kUsage, "a batch of 64");
  options.batches = {8};
  fs::create_directories(temp_ / "full");
  std::ofstream(temp_ / "full/notes.txt") << "mine";
  ExpectError([&] { RunBench(options, temp_ / "full"); }, core::ExitCode::kBadInput, "not empty");
}

TEST_F(BenchRun, Stl10ProbesEveryFold) {
  BenchOptions options = Tiny(BenchOptions::Stl10(), MakeStl(temp_ / "stl"));
  options.archs = {"resnet18"};
  const BenchResults results = RunBench(options, temp_ / "out");
  ASSERT_EQ(results.finished(), 1);
  const BenchScore& score = *results.rows[0].score;
  EXPECT_EQ(score.learnt, 26);
  EXPECT_EQ(score.bank, 20);
  EXPECT_EQ(score.test, 8);
  ASSERT_EQ(score.folds.size(), 10u);
  double sum = 0;
  for (const double fold : score.folds) sum += fold;
  EXPECT_NEAR(*score.linear, sum / 10, 1e-12);
  ASSERT_EQ(results.baselines.size(), 2u);
  EXPECT_EQ(results.baselines[0].scores[0].knn, 1);
  EXPECT_EQ(results.baselines[1].scores[0].folds.size(), 10u);
  fs::remove(temp_ / "stl/test_X.bin");
  ExpectError([&] { RunBench(options, temp_ / "out2"); }, core::ExitCode::kBadInput, "test_X.bin");
}

}  // namespace
}  // namespace eosin::pretrain
