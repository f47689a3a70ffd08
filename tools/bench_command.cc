// SPDX-License-Identifier: Apache-2.0
// eosin bench: grids of pretrainings on public sets, and the throughput of this machine.
#include <fmt/format.h>
#include <algorithm>
#include <string_view>

#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "pretrain/bench/report.h"
#include "pretrain/bench/run.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

using pretrain::BenchOptions;
using Assignments = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kOverview =
    "usage: eosin bench NAME [options]      eosin bench NAME --help explains each\n\n"
    "  cifar10     the augmentation and batch-size study: methods x augmentations x batch sizes x\n"
    "              seeds, kNN and linear probe\n"
    "  stl10       ResNet-50 and ResNet-18 at 96 px, a linear probe on each published fold\n"
    "  throughput  views/s, training steps/s and waiting for data on this machine";

constexpr const char* kCifarAbout =
    "The augmentation and batch-size study on CIFAR-10 in one command: ResNet-18 (CIFAR stem),\n"
    "200 epochs, lightly's recipes; minimal, moderate, full and aggressive augmentation at batch\n"
    "512, and batch 128 to 1024 with full augmentation; SimCLR and BYOL; 3 seeds. Each cell ends "
    "in\n"
    "kNN (k = 200, T = 0.1) and a linear probe of the frozen encoder, beside random init and raw\n"
    "pixels. Two protocols: test (all training batches, then the test file) and holdout (all but\n"
    "the last training batch, then that one).\n\n"
    "  eosin bench cifar10 --data cifar-10-batches-bin --out bench --quick     minutes on a "
    "laptop\n"
    "  eosin bench cifar10 --data cifar-10-batches-bin --out bench --methods simclr --augment full "
    "\\\n"
    "      --batches 512 --seeds 1                            one cell a protocol\n\n"
    "The same command goes on after any interruption; finished cells are kept. OUT/report.html,\n"
    "summary.md and results.csv are there after the first cell; OUT/runs/* are run folders of\n"
    "eosin pretrain.";

constexpr const char* kStlAbout =
    "STL-10 at 96 px: SimCLR with the preset stl10-baseline (ResNet-50, Adam 3e-4, batch 128, 100\n"
    "epochs) and the same with a ResNet-18, learnt from the unlabelled and training images. Each\n"
    "cell ends in kNN and in a linear probe on each of the ten published folds of 1,000 labelled\n"
    "images, asked about the test images: mean +- standard deviation over folds. --methods\n"
    "simclr,byol adds BYOL by the same protocol (preset byol-stl10: ours, not published).\n\n"
    "  eosin bench stl10 --data stl10_binary --out bench-stl\n\n"
    "The same command goes on after any interruption; finished cells are kept.";

struct Arguments {
  std::string out;
  bool quick = false;
  Assignments keys;  // in the order of the command line
  std::vector<std::string> assign;
};

void AddFlag(CLI::App& app, Arguments& arguments, const std::string& flag, const std::string& key,
             const std::string& doc) {
  app.add_option_function<std::string>(
      flag,
      [&arguments, key](const std::string& value) { arguments.keys.emplace_back(key, value); },
      doc);
}

void AddFlags(CLI::App& app, Arguments& arguments, bool stl) {
  app.add_option("--out", arguments.out, "folder of the benchmark")->required();
  app.add_flag("--quick", arguments.quick,
               "a few hundred images, few epochs, a narrow network, one seed: does it all work?");
  AddFlag(app, arguments, "--data", "bench.data", "folder of the original binary files");
  AddFlag(app, arguments, "--methods", "bench.methods", "e.g. simclr,byol");
  if (stl) {
    AddFlag(app, arguments, "--archs", "bench.archs", "resnet50,resnet18");
  } else {
    AddFlag(app, arguments, "--augment", "bench.augment", "minimal,moderate,full,aggressive");
    AddFlag(app, arguments, "--protocols", "bench.protocols", "test,holdout");
    AddFlag(app, arguments, "--test", "bench.test",
            "test file (default test_batch.bin, else test_first_1000.bin)");
    app.add_flag_callback(
        "--full-cross", [&] { arguments.keys.emplace_back("bench.full_cross", "true"); },
        "every augmentation at every batch size");
  }
  AddFlag(app, arguments, "--batches", "bench.batches", "e.g. 128,256,512,1024");
  AddFlag(app, arguments, "--batch", "bench.study_batch", "batch of the augmentation study");
  AddFlag(app, arguments, "--seeds", "bench.seeds", "repetitions of each cell");
  AddFlag(app, arguments, "--epochs", "bench.epochs", "of each pretraining");
  AddFlag(app, arguments, "--images", "bench.images", "learn from so many images, 0 = all");
  AddFlag(app, arguments, "--device", "compute.device", "auto | cpu | cuda");
  AddFlag(app, arguments, "--threads", "compute.threads", "compute threads, 0 = all cores");
  AddFlag(app, arguments, "--workers", "bench.workers",
          "loader threads, 0 = one less than the cores");
  app.add_option("--set", arguments.assign,
                 "key=value of eosin pretrain for every cell, or bench.key=value; repeatable")
      ->take_all();
}

BenchOptions Resolve(const Arguments& arguments, bool stl) {
  BenchOptions options = stl ? BenchOptions::Stl10() : BenchOptions::Cifar10();
  if (arguments.quick) options.Quick();
  core::OptionSet set;
  options.Bind(set);
  for (const auto& [key, value] : arguments.keys) set.Set(key, value);
  for (const std::string& item : arguments.assign) {
    if (item.rfind("bench.", 0) == 0 || item.rfind("compute.", 0) == 0) {
      set.Set(item);
    } else {
      options.assign.push_back(item);
    }
  }
  options.Check();
  return options;
}

int RunGrid(int argc, char** argv, bool stl) {
  CLI::App app(stl ? kStlAbout : kCifarAbout, stl ? "eosin bench stl10" : "eosin bench cifar10");
  Arguments arguments;
  AddFlags(app, arguments, stl);
  BenchOptions keys = stl ? BenchOptions::Stl10() : BenchOptions::Cifar10();
  core::OptionSet set;
  keys.Bind(set);
  app.footer("\nKeys for --set, with their defaults:\n" + set.Help());
  if (const auto done = Parse(app, argc, argv)) return *done;
  const BenchOptions options = Resolve(arguments, stl);
  core::InstallInterruptHandler();
  const pretrain::BenchResults results = pretrain::RunBench(options, arguments.out);
  core::LogInfo(fmt::format("{}\nreport: {}/report.html\ntable: {}/summary.md, results.csv",
                            pretrain::BudgetSentence(options, results), arguments.out,
                            arguments.out));
  return results.failed() ? static_cast<int>(core::ExitCode::kBadInput) : 0;
}

}  // namespace

int RunBenchCommand(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "cifar10" || name == "stl10") return RunGrid(argc - 1, argv + 1, name == "stl10");
  if (name == "throughput") return RunBenchThroughput(argc - 1, argv + 1);
  if (name == "--help" || name == "-h") {
    std::puts(kOverview);
    return 0;
  }
  throw core::ConfigError(
      name.empty() ? "no benchmark named" : fmt::format("there is no benchmark {}", name),
      "cifar10, stl10 or throughput; see eosin bench --help");
}

}  // namespace eosin::tools
