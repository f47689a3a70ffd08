// SPDX-License-Identifier: Apache-2.0
// eosin pretrain: command line to RunPretrain.
#include <fmt/format.h>
#include <cstdio>
#include <filesystem>

#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"
#include "engine/augment/preview.h"
#include "pretrain/data.h"
#include "pretrain/nan_capture.h"
#include "pretrain/registry.h"
#include "pretrain/trainer.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

using pretrain::PretrainOptions;
using Assignments = std::vector<std::pair<std::string, std::string>>;

const char* const kAbout =
    "Learns an encoder from images without labels.\n\n"
    "  eosin pretrain --data tiles --out runs/ssl --arch resnet18 --epochs 100 --batch 128\n"
    "  eosin pretrain --resume runs/ssl\n"
    "  eosin pretrain --data tiles --preview views     pictures of view pairs, no training\n"
    "  eosin pretrain --replay runs/ssl/nan            where the first value that is no number "
    "is\n\n"
    "DATA is a folder of tile stores (eosin tile) or of images; an image folder with one subfolder "
    "a\n"
    "class gets a kNN score after each epoch. The run folder holds encoder.safetensors and\n"
    "encoder.pth (torchvision's names), report.html, metrics.csv, metrics.jsonl, TensorBoard "
    "events,\n"
    "checkpoints and config.toml, from which the run can be repeated: --config RUN/config.toml.";

struct Arguments {
  std::string out, resume, preset, config, preview, replay;
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
  std::string text = "\nMethods:\n";
  for (const pretrain::MethodEntry& entry : pretrain::Methods()) {
    text += fmt::format("  {:<24} {}\n", entry.name, entry.summary);
  }
  return text + "\nPresets:\n" + pretrain::PresetHelp() +
         fmt::format(
             "\nKeys for --config (TOML) and --set, with their defaults for the preset "
             "{}:\n",
             pretrain::FindMethod(options.method).presets.front().name) +
         set.Help();
}

// What changes where a run computes, not what it computes.
void AllowOnlyMachineKeys(const Assignments& assignments, const char* what) {
  for (const auto& [key, value] : assignments) {
    if (key != "compute.threads" && key != "compute.device" && key != "compute.placement" &&
        key != "data.workers" && key != "data.path") {
      throw core::ConfigError(fmt::format("{} cannot change in a {} run", key, what),
                              "only --threads, --device, --workers, --data and --set "
                              "compute.placement=... may; or start a new run");
    }
  }
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
  AllowOnlyMachineKeys(arguments.assignments, "resumed");
  engine::RunFolder run = engine::RunFolder::Open(arguments.resume, "pretrain");
  if (run.finished()) {
    core::LogInfo(arguments.resume + " is finished; nothing to do");
    return 0;
  }
  const PretrainOptions options =
      pretrain::ReadOptions("", run.config().string(), arguments.assignments);
  options.Check();
  Report(pretrain::RunPretrain(options, *pretrain::OpenData(options), run, true), run);
  return 0;
}

int Replay(const Arguments& arguments) {
  AllowOnlyMachineKeys(arguments.assignments, "replayed");
  const std::filesystem::path folder = arguments.replay;
  const std::filesystem::path run = std::filesystem::absolute(folder).lexically_normal();
  const std::filesystem::path config =
      (run.has_filename() ? run : run.parent_path()).parent_path() / "config.toml";
  if (!std::filesystem::exists(config)) {
    throw core::DataError(fmt::format("there is no {}", config.string()),
                          "give the folder nan inside a run, e.g. runs/ssl/nan");
  }
  const PretrainOptions options = pretrain::ReadOptions("", config.string(), arguments.assignments);
  const pretrain::NanReport report = pretrain::ReplayNan(options, folder);
  for (const std::string& line : report.lines) std::printf("%s\n", line.c_str());
  std::printf("%s\n", report.first.empty()
                          ? "every value is finite: the step does not fail here; another device or "
                            "precision may matter"
                          : ("the first value that is no number is in: " + report.first).c_str());
  return 0;
}

int Preview(const Arguments& arguments) {
  const PretrainOptions options =
      pretrain::ReadOptions(arguments.preset, arguments.config, arguments.assignments);
  options.Check();
  std::vector<engine::ViewSampler> samplers;
  for (const engine::ViewRecipe& recipe : options.Views()) samplers.emplace_back(recipe);
  const auto source = pretrain::OpenData(options);
  engine::WritePreview(*source, samplers, options.seed(), 8, arguments.preview);
  core::LogInfo("view pairs of 8 images: " + arguments.preview);
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
  engine::RunFolder run = engine::RunFolder::Create(arguments.out, "pretrain", options.ToToml());
  Report(pretrain::RunPretrain(options, *pretrain::OpenData(options), run, false), run);
  return 0;
}

}  // namespace

int RunPretrainCommand(int argc, char** argv) {
  CLI::App app(kAbout, "eosin pretrain");
  Arguments arguments;
  app.add_option("--out", arguments.out, "run folder to make");
  app.add_option("--preview", arguments.preview,
                 "folder for pictures of view pairs with their parameters; nothing is trained");
  app.add_option("--replay", arguments.replay,
                 "RUN/nan of a run that stopped: repeats the step and says where it went wrong");
  app.add_option("--resume", arguments.resume, "run folder to continue");
  app.add_option("--config", arguments.config, "TOML file with keys, e.g. from configs/");
  app.add_option("--preset", arguments.preset,
                 "what keys start from, one of those below; default the method's first");
  AddFlag(app, arguments, "--data", "data.path", "folder of tile stores or of images");
  std::vector<std::string> methods;
  for (const pretrain::MethodEntry& entry : pretrain::Methods()) methods.push_back(entry.name);
  AddFlag(app, arguments, "--method", "method", fmt::format("{}", fmt::join(methods, " | ")));
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
  if (!arguments.replay.empty()) return Replay(arguments);
  if (!arguments.preview.empty()) return Preview(arguments);
  return arguments.resume.empty() ? Start(arguments) : Resume(arguments);
}

}  // namespace eosin::tools
