// SPDX-License-Identifier: Apache-2.0
// eosin pretrain: command line to RunPretrain.
#include <fmt/format.h>

#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "pretrain/trainer.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

using pretrain::PretrainOptions;
using Assignments = std::vector<std::pair<std::string, std::string>>;

const char* const kAbout =
    "Learns an encoder from images without labels (SimCLR, BYOL).\n\n"
    "  eosin pretrain --data tiles --out runs/ssl --arch resnet18 --epochs 100 --batch 128\n"
    "  eosin pretrain --resume runs/ssl\n\n"
    "DATA is a folder of tile stores (eosin tile) or of images; an image folder with one subfolder "
    "a\n"
    "class gets a kNN score after each epoch. The run folder holds encoder.safetensors and\n"
    "encoder.pth (torchvision's names), report.html, metrics.csv, metrics.jsonl, TensorBoard "
    "events,\n"
    "checkpoints and config.toml, from which the run can be repeated: --config RUN/config.toml.";

struct Arguments {
  std::string out, resume, preset, config;
  Assignments assignments;  // in the order of the command line
};

void AddFlag(CLI::App& app, Arguments& arguments, const std::string& flag, const std::string& key,
             const std::string& doc) {
  app.add_option_function<std::string>(
      flag,
      [&arguments, key](const std::string& value) {
        arguments.assignments.emplace_back(key, value);
      },
      doc + " [" + key + "]");
}

std::string KeyHelp() {
  PretrainOptions options = pretrain::ReadOptions("", "", {});
  core::OptionSet set;
  options.Bind(set);
  return "\nKeys for --config (TOML) and --set, with their defaults for SimCLR on histology "
         "tiles:\n" +
         set.Help();
}

std::string ToToml(PretrainOptions options) {
  core::OptionSet set;
  options.Bind(set);
  return set.ToToml();
}

void Report(const pretrain::PretrainResult& result, const engine::RunFolder& run) {
  if (result.was_finished) return;
  core::LogInfo(
      fmt::format("done: {} steps, loss {:.4f}{}\nencoder: {}\nreport: {}", result.steps,
                  result.loss, result.knn ? fmt::format(", kNN {:.1f} %", 100 * *result.knn) : "",
                  (run / "encoder.safetensors").string(), (run / "report.html").string()));
}

int Resume(const Arguments& arguments) {
  if (!arguments.out.empty() || !arguments.config.empty() || !arguments.preset.empty()) {
    throw core::ConfigError("--resume goes on with the options of the run",
                            "leave out --out, --config and --preset");
  }
  // What changes where a run computes, not what it computes.
  for (const auto& [key, value] : arguments.assignments) {
    if (key != "compute.threads" && key != "compute.device" && key != "data.workers" &&
        key != "data.path") {
      throw core::ConfigError(
          fmt::format("{} cannot change in a resumed run", key),
          "only --threads, --device, --workers and --data may; or start a new run");
    }
  }
  engine::RunFolder run = engine::RunFolder::Open(arguments.resume, "pretrain");
  if (run.finished()) {
    core::LogInfo(arguments.resume + " is finished; nothing to do");
    return 0;
  }
  const PretrainOptions options =
      pretrain::ReadOptions("", run.config().string(), arguments.assignments);
  options.Check();
  Report(pretrain::RunPretrain(options, *engine::OpenImageSource(options.data), run, true), run);
  return 0;
}

int Start(const Arguments& arguments) {
  if (arguments.out.empty()) {
    throw core::ConfigError("no run folder given",
                            "name one with --out, or an existing one with --resume");
  }
  PretrainOptions options =
      pretrain::ReadOptions(arguments.preset, arguments.config, arguments.assignments);
  options.Check();
  engine::RunFolder run = engine::RunFolder::Create(arguments.out, "pretrain", ToToml(options));
  Report(pretrain::RunPretrain(options, *engine::OpenImageSource(options.data), run, false), run);
  return 0;
}

}  // namespace

int RunPretrainCommand(int argc, char** argv) {
  CLI::App app(kAbout, "eosin pretrain");
  Arguments arguments;
  app.add_option("--out", arguments.out, "run folder to make");
  app.add_option("--resume", arguments.resume, "run folder to continue");
  app.add_option("--config", arguments.config, "TOML file with keys, e.g. from configs/");
  app.add_option("--preset", arguments.preset,
                 "what keys start from: simclr-, byol- with histology, natural or cifar; default "
                 "<method>-histology");
  AddFlag(app, arguments, "--data", "data.path", "folder of tile stores or of images");
  AddFlag(app, arguments, "--method", "method", "simclr | byol");
  AddFlag(app, arguments, "--arch", "model.arch", "resnet18 | resnet34 | resnet50");
  AddFlag(app, arguments, "--epochs", "train.epochs", "passes over the data");
  AddFlag(app, arguments, "--batch", "train.batch", "images a step");
  AddFlag(app, arguments, "--size", "data.size", "side of a view, px");
  AddFlag(app, arguments, "--init", "model.init", "weights file to start from");
  AddFlag(app, arguments, "--seed", "seed", "of everything random");
  AddFlag(app, arguments, "--threads", "compute.threads", "compute threads, 0 = all cores");
  AddFlag(app, arguments, "--workers", "data.workers",
          "loader threads, 0 = one less than the cores");
  AddFlag(app, arguments, "--device", "compute.device", "auto | cpu | cuda");
  app.add_option_function<std::vector<std::string>>(
         "--set",
         [&](const std::vector<std::string>& items) {
           for (const std::string& item : items) {
             const size_t at = item.find('=');
             if (at == std::string::npos || at == 0) {
               throw core::ConfigError("--set " + item + " is no assignment",
                                       "write --set key=value");
             }
             arguments.assignments.emplace_back(item.substr(0, at), item.substr(at + 1));
           }
         },
         "key=value, repeatable; wins over all other ways")
      ->take_all();
  app.footer(KeyHelp());
  if (const auto done = Parse(app, argc, argv)) return *done;
  core::InstallInterruptHandler();
  return arguments.resume.empty() ? Start(arguments) : Resume(arguments);
}

}  // namespace eosin::tools
