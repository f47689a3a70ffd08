// SPDX-License-Identifier: Apache-2.0
// eosin eval: command line to RunEval.
#include <fmt/format.h>
#include <filesystem>

#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "eval/study/run.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

const char* const kAbout =
    "Measures what encoders are worth on labelled images, beside random init of the same\n"
    "architecture and raw pixels, with intervals over patients or slides.\n\n"
    "  eosin eval --encoder runs/ssl --data tiles --out runs/eval\n"
    "  eosin eval --encoder runs/a runs/b imagenet.pth --data train --test other_hospital \\\n"
    "    --finetune --out runs/eval\n\n"
    "ENCODER is a weights file of any known dialect or a run folder of eosin pretrain. DATA is a\n"
    "folder of images with one subfolder a class, of tile stores with labels, or with an\n"
    "index.csv (columns file, class, and optionally group and split); CIFAR-10 and STL-10\n"
    "binaries too. Without --test the groups (patients, slides) are split 60/20/20, or as the\n"
    "column split says; a group on two sides is refused, images on two sides are reported.\n\n"
    "Measured: kNN, linear probe (the backbone proven frozen by a hash), few-shot, with\n"
    "--finetune a full fine-tune and the speed of transfer, class separation, RankMe, alignment,\n"
    "uniformity, accuracy under stain shift, drift between encoders; PCA, t-SNE and UMAP.\n\n"
    "OUT holds report.html, results.csv, split.csv and embeddings/ (HDF5, as CLAM and TRIDENT "
    "users\n"
    "read them). The same command goes on where a run was stopped: cache/ keeps what still fits.";

}  // namespace

int RunEvalCommand(int argc, char** argv) {
  CLI::App app(kAbout, "eosin eval");
  eval::EvalOptions options;
  core::OptionSet set;
  options.Bind(set);
  std::string config;
  std::vector<std::string> encoders, assignments;
  std::vector<std::pair<std::string, std::string>> flags;
  bool finetune = false;
  auto flag = [&](const std::string& name, const std::string& key, const std::string& doc) {
    app.add_option_function<std::string>(
        name, [&flags, key](const std::string& value) { flags.emplace_back(key, value); },
        doc + " [" + key + "]");
  };
  app.add_option("--encoder", encoders, "weights files or run folders [eval.encoders]");
  flag("--data", "eval.data", "labelled images or tiles");
  flag("--test", "eval.test", "another labelled set to test on");
  flag("--out", "eval.out", "folder of the results");
  flag("--size", "eval.size", "side of the network's input, px; default the images' own up to 224");
  flag("--batch", "eval.batch", "images a forward pass");
  flag("--seed", "eval.seed", "of everything random");
  flag("--threads", "compute.threads", "compute threads, 0 = all cores");
  flag("--workers", "eval.workers", "reading threads, 0 = one less than the cores");
  flag("--device", "compute.device", "auto | cpu | cuda");
  flag("--precision", "compute.precision", "fp32 (exact, default) | bf16 (faster)");
  app.add_flag("--finetune", finetune, "also train all weights (costly) [eval.finetune]");
  app.add_option("--config", config, "TOML file with keys");
  app.add_option("--set", assignments, "key=value, repeatable; wins over all other ways")
      ->take_all();
  app.footer("\nKeys for --config (TOML) and --set, with their defaults:\n" + set.Help());
  if (const auto done = Parse(app, argc, argv)) return *done;
  core::InstallInterruptHandler();
  if (!config.empty()) set.ReadToml(config);
  for (const auto& [key, value] : flags) {
    if (key == "eval.out") {
      options.out = value;
    } else {
      set.Set(key, value);
    }
  }
  if (!encoders.empty()) options.encoders = encoders;
  if (finetune) options.finetune = true;
  for (const std::string& assignment : assignments) set.Set(assignment);
  const eval::EvalResult result = eval::RunEval(options);
  std::string text;
  for (const std::string& sentence : result.verdict) text += sentence + "\n";
  core::LogInfo(text + "report: " + (std::filesystem::path(options.out) / "report.html").string());
  return 0;
}

}  // namespace eosin::tools
