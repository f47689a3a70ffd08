// SPDX-License-Identifier: Apache-2.0
// eosin segment: command line to TrainSegmenter.
#include <fmt/format.h>
#include <cstdio>
#include <filesystem>

#include "core/base/files.h"
#include "core/base/log.h"
#include "core/formats/csv.h"
#include "engine/training/run_folder.h"
#include "segment/data/split.h"
#include "segment/data/split_file.h"
#include "segment/options.h"
#include "segment/train/trainer.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using eval::Metric;

constexpr const char* kAbout =
    "Trains one DeepLabV3 on images with masks and scores it on patients it has not seen.\n\n"
    "  eosin segment --data regions --init random --out runs/model\n"
    "  eosin segment --data regions --init runs/ssl/encoder.safetensors --freeze layer2 --out "
    "runs/m2\n\n"
    "DATA holds images/ (JPEG, PNG), masks/ (PNG of the same names) and grade.csv, regions.csv or\n"
    "patients.csv with the columns name and patient_id: patients are never split. Mask values are\n"
    "class numbers unless mask.rule says otherwise (instances: as GlaS; map: your own table).\n\n"
    "The run folder holds model.safetensors and model.pth (torchvision's DeepLabV3 names, best by\n"
    "validation), last.safetensors, result.json (pixel counts of every test image), scores.csv,\n"
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
  std::string out, config;
  std::vector<std::pair<std::string, std::string>> flags;
  std::vector<std::string> assignments;
  auto flag = [&](const std::string& name, const std::string& key, const std::string& doc) {
    app.add_option_function<std::string>(
        name, [&flags, key](const std::string& value) { flags.emplace_back(key, value); },
        doc + " [" + key + "]");
  };
  app.add_option("--out", out, "run folder to make")->required();
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

  if (!config.empty()) set.ReadToml(config);
  for (const auto& [key, value] : flags) set.Set(key, value);
  for (const std::string& assignment : assignments) set.Set(assignment);
  options.Check();
  split_options.Check();
  if (options.init != "random" && !fs::exists(options.init)) {
    throw core::WeightsError(fmt::format("there is no weights file {}", options.init),
                             "--init takes random or the path of a .safetensors or .pth file");
  }

  engine::RunFolder run = engine::RunFolder::Create(out, "segment", set.ToToml());
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
  run.MarkFinished();
  PrintScores(result);
  std::printf("%s\n", (run / "model.safetensors").c_str());
  return 0;
}

}  // namespace eosin::tools
