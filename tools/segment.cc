// SPDX-License-Identifier: Apache-2.0
// eosin segment: command line to TrainSegmenter.
#include <fmt/format.h>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "core/base/files.h"
#include "core/base/log.h"
#include "core/formats/csv.h"
#include "engine/training/run_folder.h"
#include "segment/data/split.h"
#include "segment/options.h"
#include "segment/train/trainer.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using eval::Metric;

constexpr const char* kAbout =
    "Trains one DeepLabV3 or V3+ on images with masks and scores it on patients it has not "
    "seen.\n\n"
    "  eosin segment --data regions --init random --out runs/model\n"
    "  eosin segment --data regions --init runs/ssl/encoder.safetensors --freeze layer2 --out "
    "runs/m2\n"
    "  eosin segment --resume runs/m2\n\n"
    "DATA holds images/ (JPEG, PNG), masks/ (PNG of the same names) and grade.csv, regions.csv or\n"
    "patients.csv with the columns name and patient_id: patients are never split. Mask values are\n"
    "class numbers unless mask.rule says otherwise (instances: as GlaS; map: your own table).\n\n"
    "The run folder holds model.safetensors and model.pth (names of torchvision's DeepLabV3 or\n"
    "segmentation_models.pytorch's DeepLabV3Plus, best by validation), last.safetensors, "
    "result.json (pixel counts of every test image), scores.csv,\n"
    "predictions/, split.json, metrics and config.toml.";

std::string Number(double value) {
  return value == value ? fmt::format("{:.4f}", value) : std::string("n/a");
}

void WriteScores(const segment::SegmentResult& result, const fs::path& path) {
  std::string csv = core::CsvRow({"patient", "class", "dice", "iou", "precision", "recall"});
  for (const auto& patient : eval::PoolByPatient(result.test)) {
    for (size_t c = 0; c < result.classes.size(); ++c) {
      const eval::ClassScores s = patient.counts.Scores(static_cast<int>(c));
      csv += core::CsvRow({patient.patient, result.classes[c], Number(s.dice), Number(s.iou),
                           Number(s.precision), Number(s.recall)});
    }
  }
  core::WriteFileAtomic(path, csv);
}

void PrintScores(const segment::SegmentResult& result) {
  const auto patients = eval::PoolByPatient(result.test);
  std::printf("test: %zu patients, %zu images, best of %zu validations at step %lld\n",
              patients.size(), result.test.size(), result.curve.size(),
              static_cast<long long>(result.best_step));
  std::printf("%-20s %8s %8s\n", "class", "Dice", "IoU");
  for (size_t c = 0; c < result.classes.size(); ++c) {
    std::printf("%-20s %8s %8s\n", result.classes[c].c_str(),
                Number(eval::MacroScore(patients, Metric::kDice, static_cast<int>(c))).c_str(),
                Number(eval::MacroScore(patients, Metric::kIou, static_cast<int>(c))).c_str());
  }
}

void Train(const segment::SegmentOptions& options, const segment::SplitOptions& split_options,
           engine::RunFolder& run) {
  for (const std::string& warning : segment::Warnings(options)) core::LogWarning(warning);
  const segment::MaskDataset data(options.data);
  const auto& hashes = data.FileHashes(options.Workers());
  data.ClassPixels(options.Workers());  // reads every mask: mistakes show now, not in an hour
  const segment::ImageSplit split = segment::SplitByPatient(data.items(), split_options);
  segment::CheckNoLeak(data.items(), hashes, split);
  const std::string split_json = segment::SplitToJson(data.items(), hashes, split, split_options);
  core::WriteFileAtomic(run / "split.json", split_json);
  core::LogInfo(fmt::format("{} images: {} to train on, {} to validate, {} to test", data.size(),
                            split.train.size(), split.val.size(), split.test.size()));
  run.AddProvenance({{"data", options.data.data}});

  const segment::SegmentResult result =
      segment::TrainSegmenter(options, data, split, run.path(), {.save_model = true});
  WriteScores(result, run / "scores.csv");
  segment::WriteResult(run / "result.json", result);
  segment::RemoveCheckpoint(run.path());
  run.MarkFinished();
  PrintScores(result);
  std::printf("%s\n", (run / "model.safetensors").c_str());
}

using Assignments = std::vector<std::pair<std::string, std::string>>;

// What changes where a run computes, not what it computes.
void AllowOnlyMachineKeys(const Assignments& assignments) {
  for (const auto& [key, value] : assignments) {
    if (key != "compute.threads" && key != "compute.device" && key != "workers") {
      throw core::ConfigError(fmt::format("{} cannot change in a resumed run", key),
                              "only --threads, --device and --workers may; or start a new run");
    }
  }
}

}  // namespace

int RunSegmentCommand(int argc, char** argv) {
  segment::SegmentOptions options;
  segment::SplitOptions split_options;
  core::OptionSet set;
  options.Bind(set);
  split_options.Bind(set);
  const std::string keys =
      "\nKeys for --config (TOML) and --set, with their defaults:\n" + set.Help();

  CLI::App app(kAbout, "eosin segment");
  std::string out, config, resume;
  Assignments flags;
  std::vector<std::string> assignments;
  auto flag = [&](const std::string& name, const std::string& key, const std::string& doc) {
    app.add_option_function<std::string>(
        name, [&flags, key](const std::string& value) { flags.emplace_back(key, value); },
        doc + " [" + key + "]");
  };
  app.add_option("--out", out, "run folder to make");
  app.add_option("--resume", resume, "run folder to continue");
  app.add_option("--config", config, "TOML file with keys, e.g. from configs/");
  flag("--data", "data", "folder with images/, masks/ and a table of patients");
  flag("--init", "model.init", "random, or a weights file for the backbone");
  flag("--freeze", "train.freeze", "none | stem | layer1 | layer2 | layer3 | layer4 | all");
  flag("--arch", "model.arch", "resnet18 | resnet34 | resnet50");
  flag("--steps", "train.steps", "optimiser steps");
  flag("--batch", "train.batch", "crops a step");
  flag("--crop", "train.crop", "side of a crop, px");
  flag("--seed", "seed", "of everything random");
  flag("--threads", "compute.threads", "compute threads, 0 = all cores");
  flag("--workers", "workers", "decoding threads, 0 = all cores");
  flag("--device", "compute.device", "auto | cpu | cuda");
  app.add_option("--set", assignments, "key=value, repeatable; wins over all other ways")
      ->take_all();
  app.footer(keys);
  if (const auto done = Parse(app, argc, argv)) return *done;

  std::optional<engine::RunFolder> run;
  if (!resume.empty()) {
    if (!out.empty() || !config.empty() || !assignments.empty()) {
      throw core::ConfigError("--resume goes on with the options of the run",
                              "leave out --out, --config and --set");
    }
    AllowOnlyMachineKeys(flags);
    run = engine::RunFolder::Open(resume, "segment");
    if (run->finished()) {
      core::LogInfo(resume + " is finished; nothing to do");
      return 0;
    }
    config = run->config().string();
  } else if (out.empty()) {
    throw core::ConfigError("no run folder given",
                            "name one with --out, or an existing one with --resume");
  }
  if (!config.empty()) set.ReadToml(config);
  for (const auto& [key, value] : flags) set.Set(key, value);
  for (const std::string& assignment : assignments) set.Set(assignment);
  options.Check();
  split_options.Check();
  if (!run && options.init != "random" && !fs::exists(options.init)) {
    throw core::WeightsError(fmt::format("there is no weights file {}", options.init),
                             "--init takes random or the path of a .safetensors or .pth file");
  }

  if (!run) run = engine::RunFolder::Create(out, "segment", set.ToToml());
  Train(options, split_options, *run);
  return 0;
}

}  // namespace eosin::tools
