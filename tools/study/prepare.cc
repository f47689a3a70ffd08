// SPDX-License-Identifier: Apache-2.0
#include "tools/study/prepare.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/lock.h"
#include "core/base/log.h"
#include "core/base/threads.h"
#include "segment/data/split_file.h"
#include "segment/study/leaks/leaks.h"
#include "tools/study/pretraining.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using core::DataError;

constexpr const char* kStandIn = "standin.pth";

// Where a fold's split and encoders lie: RUN itself, or RUN/fold2.
fs::path FoldFolder(const fs::path& run, const segment::StudyOptions& study, int64_t fold) {
  return study.Folds() > 1 ? run / fmt::format("fold{}", fold) : run;
}

bool Begun(const fs::path& run) {
  return fs::exists(run / "runs") || fs::exists(run / "leaks.json") || fs::exists(run / "ssl");
}

// Makes RUN, or finds the study in it.
void OpenRun(const fs::path& run, const StudySetup& setup, bool resume) {
  const fs::path path = run / "config.toml";
  if (fs::exists(path)) {
    if (Begun(run) && !resume) {
      throw DataError(fmt::format("{} holds a study already", run.string()),
                      "continue it with --resume, or choose another --out");
    }
    if (Begun(run)) CheckSameConfig(setup, path);
  } else {
    for (const auto& entry : fs::directory_iterator(run)) {
      if (entry.path().filename() == "locks") continue;
      throw DataError(fmt::format("the folder {} is not empty and holds no study", run.string()),
                      "choose another --out");
    }
  }
  core::WriteFileAtomic(path, setup.ToToml());
}

std::vector<segment::ImageSplit> DrawSplits(const segment::StudyOptions& study,
                                            const segment::MaskDataset& data) {
  if (study.Folds() > 1) return segment::FoldsByPatient(data.items(), study.split, study.Folds());
  return {segment::SplitByPatient(data.items(), study.split)};
}

// Draws or reads the splits and refuses leaks. Copies are searched for once; what is stored is
// believed as long as every file has the hash it had then.
std::vector<segment::ImageSplit> MakeSplits(const StudySetup& setup,
                                            const segment::MaskDataset& data, const fs::path& run,
                                            segment::LeakFacts* leaks) {
  const int workers = setup.study.segment.Workers();
  const auto& hashes = data.FileHashes(workers);
  const auto splits = DrawSplits(setup.study, data);
  const std::string& given = setup.study.split.file;
  if (!given.empty()) segment::VerifySplit(given, data.items(), hashes);
  const bool checked = fs::exists(run / "leaks.json");
  for (size_t fold = 0; fold < splits.size(); ++fold) {
    segment::CheckNoLeak(data.items(), hashes, splits[fold]);
    const fs::path folder = FoldFolder(run, setup.study, static_cast<int64_t>(fold));
    const fs::path path = folder / "split.json";
    if (checked && fs::exists(path)) {
      segment::VerifySplit(path, data.items(), hashes);
      const segment::ImageSplit stored = segment::ReadSplit(path, data.items());
      if (stored.train != splits[fold].train || stored.val != splits[fold].val ||
          stored.test != splits[fold].test) {
        throw DataError(fmt::format("images were added since {} was written", path.string()),
                        "take them away again, or start a new study in another --out");
      }
      continue;
    }
    core::MakeFolder(folder);
    core::WriteFileAtomic(
        path, segment::SplitToJson(data.items(), hashes, splits[fold], setup.study.split));
  }
  if (checked) {
    *leaks = segment::ReadLeakFacts(run / "leaks.json");
    return splits;
  }
  const auto prints = segment::FingerprintImages(data.items(), workers);
  segment::CheckNoCopies(data.items(), prints, splits, workers, leaks);
  core::WriteFileAtomic(run / "leaks.json", segment::LeakFactsJson(*leaks));
  return splits;
}

void TrainStandIn(const StudySetup& setup, const fs::path& path) {
  if (fs::exists(path)) return;
  core::LogInfo("training the stand-in for ImageNet weights on made textures");
  pretrain::StandInOptions options = setup.standin;
  options.arch = setup.study.segment.arch;
  options.stem = setup.study.segment.stem;
  options.compute = setup.study.segment.compute;
  pretrain::TrainStandIn(options, path);
}

// The weights that preparing makes take their places in the options.
void SetMadeWeights(StudySetup* setup, const fs::path& run) {
  const fs::path folder = setup->study.Folds() > 1 ? run / "fold{fold}" : run;  // see ResolveArms
  const auto encoder = [&](const char* name) {
    return (folder / name / "encoder.safetensors").string();
  };
  const bool from_random = setup->PretrainsFromRandom();
  const bool from_imagenet = setup->PretrainsFromImageNet();
  if (from_random) setup->study.ssl = encoder(kSslFolder);
  if (from_imagenet) setup->study.ssl_from_imagenet = encoder(kFromImageNetFolder);
  if (setup->UsesStandIn()) {
    setup->study.imagenet = (run / kStandIn).string();
    setup->study.imagenet_label = "stand-in, not ImageNet";
  }
}

// Refuses held-out images among what encoders are or were pretrained on, in all folds, before
// anything is trained.
void CheckEncoders(const StudySetup& setup, const segment::MaskDataset& data,
                   const std::vector<segment::ImageSplit>& splits, const fs::path& run,
                   segment::LeakFacts* leaks) {
  const auto add = [leaks](const segment::LeakFacts& found) {
    leaks->tiles += found.tiles;
    leaks->blank_tiles += found.blank_tiles;
    leaks->closest = std::max(leaks->closest, found.closest);
  };
  std::set<std::string> unknown;
  for (size_t k = 0; k < splits.size(); ++k) {
    const auto fold = static_cast<int64_t>(k);
    const fs::path folder = FoldFolder(run, setup.study, fold);
    if (setup.Pretrains()) add(CheckPretrainingTiles(setup, data, splits[k], folder));
    std::set<std::string> seen;
    for (const segment::Arm& arm : segment::ResolveArms(setup.study, fold)) {
      if (!fs::is_regular_file(arm.init) || !seen.insert(arm.init).second) continue;
      std::string why;
      const auto found = CheckGivenEncoder(setup, data, splits[k], arm.init,
                                           folder / ("given_" + arm.name + "_leaks.json"), &why);
      if (found) add(*found);
      const bool imagenet = arm.name.rfind("imagenet", 0) == 0;  // has no slides
      if (!found && !imagenet && unknown.insert(arm.init).second) {
        core::LogWarning(
            fmt::format("{}: what it was pretrained on is not known here ({}), so nobody has "
                        "checked that it has not seen the test patients",
                        arm.init, why));
      }
    }
  }
}

}  // namespace

PreparedStudy PrepareStudy(StudySetup* setup, const fs::path& run, bool resume) {
  setup->Check();
  core::MakeFolder(run / "locks");
  const core::FileLock lock = core::FileLock::Wait(run / "locks" / "prepare.lock");
  OpenRun(run, *setup, resume);
  const segment::SegmentOptions& recipe = setup->study.segment;
  for (const std::string& warning : segment::Warnings(recipe)) core::LogWarning(warning);
  PreparedStudy prepared;
  prepared.data = std::make_unique<segment::MaskDataset>(recipe.data);
  const segment::MaskDataset& data = *prepared.data;
  const auto& class_pixels = data.ClassPixels(recipe.Workers());
  prepared.extras.leaks.emplace();
  const auto splits = MakeSplits(*setup, data, run, &*prepared.extras.leaks);
  segment::PlanStudy(setup->study, class_pixels, splits);  // mistakes show before pretraining
  CheckEncoders(*setup, data, splits, run, &*prepared.extras.leaks);
  if (setup->UsesStandIn()) {
    const auto start = std::chrono::steady_clock::now();
    TrainStandIn(*setup, run / kStandIn);
    prepared.training_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    prepared.extras.facts.emplace_back(
        "stand-in",
        "a supervised ResNet trained here on made textures; it is not "
        "ImageNet, and no figure of that arm says anything about ImageNet");
  }
  const std::string imagenet =
      setup->UsesStandIn() ? (run / kStandIn).string() : setup->study.imagenet;
  for (size_t fold = 0; fold < splits.size(); ++fold) {
    core::LogInfo(fmt::format("{}{} images: {} train, {} validation, {} test",
                              splits.size() > 1 ? fmt::format("fold {}: ", fold) : "", data.size(),
                              splits[fold].train.size(), splits[fold].val.size(),
                              splits[fold].test.size()));
    if (!setup->Pretrains()) continue;
    prepared.training_seconds +=
        PretrainFold(*setup, data, splits[fold], imagenet,
                     FoldFolder(run, setup->study, static_cast<int64_t>(fold)),
                     fold == 0 ? &prepared.extras : nullptr);
  }
  SetMadeWeights(setup, run);
  prepared.plan = segment::PlanStudy(setup->study, class_pixels, splits);
  for (const segment::Arm& arm : prepared.plan.arms) {
    if (!arm.skipped.empty()) {
      core::LogWarning(fmt::format("arm {} is skipped: {}", arm.name, arm.skipped));
    }
  }
  return prepared;
}

int64_t ModelThreads(const StudySetup& setup, const fs::path& run) {
  const int64_t asked = setup.study.segment.compute.threads;
  if (asked > 0) return asked;
  const fs::path path = run / "threads";
  if (!fs::exists(path)) {
    const int64_t share = core::AvailableCores() / setup.study.jobs;
    core::WriteFileAtomic(path, fmt::format("{}\n", std::max<int64_t>(1, share)));
  }
  const int64_t stored = std::atoll(core::ReadFile(path).c_str());
  if (stored < 1) {
    throw DataError(fmt::format("{} holds no number of threads", path.string()), "delete it");
  }
  const int64_t cores = core::AvailableCores();
  if (stored * setup.study.jobs > std::max(cores, setup.study.jobs)) {
    core::LogWarning(fmt::format(
        "{} models at a time with {} threads each, as this study began ({}), on {} cores: slow; "
        "use study.jobs = {}, since the threads decide a CPU's last digits",
        setup.study.jobs, stored, path.string(), cores, std::max<int64_t>(1, cores / stored)));
  }
  return stored;
}

PreparedStudy OpenPreparedStudy(StudySetup* setup, const fs::path& run) {
  SetMadeWeights(setup, run);
  PreparedStudy prepared;
  prepared.data = std::make_unique<segment::MaskDataset>(setup->study.segment.data);
  const auto& class_pixels = prepared.data->ClassPixels(setup->study.segment.Workers());
  prepared.plan =
      segment::PlanStudy(setup->study, class_pixels, DrawSplits(setup->study, *prepared.data));
  return prepared;
}

}  // namespace eosin::tools
