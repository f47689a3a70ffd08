// SPDX-License-Identifier: Apache-2.0
// eosin segment: command line to TrainSegmenter.
#include <fmt/format.h>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "engine/training/run_folder.h"
#include "segment/data/official_split.h"
#include "segment/data/split_file.h"
#include "segment/options.h"
#include "segment/train/run_report.h"
#include "segment/train/score_table.h"
#include "segment/train/train_state.h"
#include "segment/train/trainer.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAbout =
    "Trains one DeepLabV3 or V3+ on images with masks and scores it on patients it has not seen\n"
    "(unless split.official takes published parts that share patients).\n\n"
    "  eosin segment --data regions --init random --out runs/model\n"
    "  eosin segment --data regions --init runs/ssl/encoder.safetensors --freeze layer2 --out "
    "runs/m2\n"
    "  eosin segment --resume runs/m2\n\n"
    "DATA holds images/ (JPEG, PNG), masks/ (PNG of the same names) and grade.csv, regions.csv or\n"
    "patients.csv with the columns name and patient_id: a patient is in one part (unless\n"
    "split.official). Mask values are class numbers unless mask.rule says otherwise (instances:\n"
    "as GlaS; map: your own table). DATA may also be a tile store with labels, or a folder of\n"
    "stores (eosin tile --annotations).\n\n"
    "The run folder holds model.safetensors and model.pth (names of torchvision's DeepLabV3 or\n"
    "segmentation_models.pytorch's DeepLabV3Plus, best by validation), last.safetensors,\n"
    "report.html, scores.csv (every score by image, slide, patient and class), confusion.csv,\n"
    "result.json (the sums behind them), predictions/, split.json, metrics and config.toml.";

struct Split {
  segment::ImageSplit parts;
  std::vector<std::string> notes;  // what a reader of the scores must know
};

// By patient; or as published, which is said loudly where the parts share patients.
Split MakeSplit(const segment::MaskDataset& data, const segment::SplitOptions& options,
                int workers) {
  const auto& hashes = data.FileHashes(workers);
  if (!options.file.empty()) segment::VerifySplit(options.file, data.items(), hashes);
  if (!options.official) {
    Split split{segment::SplitByPatient(data.items(), options), {}};
    segment::CheckNoLeak(data.items(), hashes, split.parts);
    return split;
  }
  segment::OfficialSplit published = segment::SplitAsPublished(data.items(), options);
  Split split{std::move(published.split), {}};
  if (!published.shared.empty()) {
    split.notes.push_back(fmt::format(
        "the published split tests on {} patients of whom other images were trained on or chose "
        "the model ({}): the scores are not those of unseen patients",
        published.shared.size(), fmt::join(published.shared, ", ")));
  }
  // Patients, and so slides, are shared; the same picture twice is still a mistake.
  std::vector<segment::MaskItem> items = data.items();
  for (segment::MaskItem& item : items) item.patient = item.name, item.slide = "";
  segment::CheckNoLeak(items, hashes, split.parts);
  return split;
}

// Writes split.json, or compares it with that of the run which goes on.
void KeepSplit(const fs::path& path, const segment::MaskDataset& data,
               const segment::ImageSplit& parts, const segment::SplitOptions& options, int workers,
               bool resumed) {
  const auto& hashes = data.FileHashes(workers);
  if (!resumed || !fs::exists(path)) {
    core::WriteFileAtomic(path, segment::SplitToJson(data.items(), hashes, parts, options));
    return;
  }
  segment::VerifySplit(path, data.items(), hashes);
  const segment::ImageSplit stored = segment::ReadSplit(path, data.items());
  if (stored.train == parts.train && stored.val == parts.val && stored.test == parts.test) return;
  throw core::DataError(
      fmt::format("the images or their patients are no longer those of {}", path.string()),
      "put the data back as it was when the run was started, or start a new run");
}

void Train(const segment::SegmentOptions& options, const segment::SplitOptions& split_options,
           engine::RunFolder& run, bool resumed) {
  for (const std::string& warning : segment::Warnings(options)) core::LogWarning(warning);
  const segment::MaskDataset data(options.data);
  data.ClassPixels(options.Workers());  // reads every mask: mistakes show now, not in an hour
  if (const std::string warning = data.MemoryWarning(); !warning.empty()) {
    core::LogWarning(warning);
  }
  const Split split = MakeSplit(data, split_options, options.Workers());
  for (const std::string& note : split.notes) core::LogWarning(note);
  const segment::ImageSplit& parts = split.parts;
  KeepSplit(run / "split.json", data, parts, split_options, options.Workers(), resumed);
  core::LogInfo(fmt::format("{} images: {} to train on, {} to validate, {} to test", data.size(),
                            parts.train.size(), parts.val.size(), parts.test.size()));
  run.AddProvenance({{"data", options.data.data}});

  const segment::SegmentResult result =
      segment::TrainSegmenter(options, data, parts, run.path(), {.save_model = true});
  core::WriteFileAtomic(run / "scores.csv", segment::ScoresCsv(result));
  core::WriteFileAtomic(run / "confusion.csv", segment::ConfusionCsv(result));
  segment::WriteRunReport(options, data, parts, result, split.notes, run.path());
  segment::WriteResult(run / "result.json", result);
  run.MarkFinished();
  segment::RemoveCheckpoint(run.path());
  std::fputs(segment::ScoreSummary(result).c_str(), stdout);
  std::printf("%s\n%s\n", (run / "report.html").c_str(), (run / "model.safetensors").c_str());
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
  split_options.BindOfficial(set);
  const std::string keys =
      "\nKeys for --config (TOML) and --set, with their defaults:\n" + set.Help();

  CLI::App app(kAbout, "eosin segment");
  std::string out, config, preset, resume;
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
  app.add_option("--preset", preset,
                 fmt::format("{}: what the keys of the data start from",
                             fmt::join(segment::DataPresetNames(), " | ")));
  flag("--data", "data", "folder with images/, masks/ and a table of patients, or tile stores");
  flag("--init", "model.init",
       "random, or a weights file (of it the backbone, unless model.init_part says more)");
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
    if (!out.empty() || !config.empty() || !preset.empty() || !assignments.empty()) {
      throw core::ConfigError("--resume goes on with the options of the run",
                              "leave out --out, --config, --preset and --set");
    }
    AllowOnlyMachineKeys(flags);
    run = engine::RunFolder::Open(resume, "segment");
    // A result without a checkpoint: killed by its last step.
    if (!run->finished() && fs::exists(*run / "result.json") &&
        !segment::HasTrainState(run->path())) {
      run->MarkFinished();
    }
    if (run->finished()) {
      segment::RemoveCheckpoint(run->path());  // of a process that was killed before it did
      core::LogInfo(resume + " is finished; nothing to do");
      return 0;
    }
    config = run->config().string();
  } else if (out.empty()) {
    throw core::ConfigError("no run folder given",
                            "name one with --out, or an existing one with --resume");
  }
  if (!preset.empty()) options.data = segment::DataPreset(preset);
  if (!config.empty()) set.ReadToml(config);
  for (const auto& [key, value] : flags) set.Set(key, value);
  for (const std::string& assignment : assignments) set.Set(assignment);
  options.Check();
  split_options.Check();
  if (!run && options.init != "random" && !fs::exists(options.init)) {
    throw core::WeightsError(fmt::format("there is no weights file {}", options.init),
                             "--init takes random or the path of a .safetensors or .pth file");
  }

  segment::ResolveScale(&options.data);
  const bool resumed = run.has_value();
  if (!run) run = engine::RunFolder::Create(out, "segment", set.ToToml());
  try {
    Train(options, split_options, *run, resumed);
  } catch (const core::InterruptedError& error) {
    throw core::InterruptedError(error.what(),
                                 "continue with: eosin segment --resume " + run->path().string());
  }
  return 0;
}

}  // namespace eosin::tools
