// SPDX-License-Identifier: Apache-2.0
#include "tools/study/prepare.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/lock.h"
#include "core/base/log.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/image/resample.h"
#include "core/store/tile_store.h"
#include "engine/data/mixed_source.h"
#include "pretrain/data.h"
#include "pretrain/trainer.h"
#include "segment/data/split_file.h"
#include "segment/study/leaks/leaks.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using core::DataError;

constexpr const char* kSslFolder = "ssl";
constexpr const char* kFromImageNetFolder = "ssl_from_imagenet";
constexpr const char* kStandIn = "standin.pth";

// Where a fold's split and encoders lie: RUN itself, or RUN/fold2.
fs::path FoldFolder(const fs::path& run, const segment::StudyOptions& study, int64_t fold) {
  return study.Folds() > 1 ? run / fmt::format("fold{}", fold) : run;
}

bool Begun(const fs::path& run) {
  return fs::exists(run / "runs") || fs::exists(run / "leaks.json") || fs::exists(run / "ssl");
}

// Makes RUN, or finds the study in it.
void OpenRun(const fs::path& run, const std::string& config, bool resume) {
  const fs::path path = run / "config.toml";
  if (fs::exists(path)) {
    if (Begun(run) && !resume) {
      throw DataError(fmt::format("{} holds a study already", run.string()),
                      "continue it with --resume, or choose another --out");
    }
    if (Begun(run)) CheckSameConfig(core::ReadFile(path), config, path);
  } else {
    for (const auto& entry : fs::directory_iterator(run)) {
      if (entry.path().filename() == "locks") continue;
      throw DataError(fmt::format("the folder {} is not empty and holds no study", run.string()),
                      "choose another --out");
    }
  }
  core::WriteFileAtomic(path, config);
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

// Slide or image name -> patient, by the full name and by the name without extension; and each
// patient to itself, because stores that know their patient are grouped by it.
std::map<std::string, std::string> ReadSslPatients(const std::string& path) {
  if (path.empty()) {
    throw core::ConfigError(
        "ssl.data is given without ssl.patients",
        "name a CSV with columns slide and patient_id: pretraining must not see the "
        "test patients");
  }
  const core::CsvTable table = core::ReadCsv(path);
  const int slide = std::max(table.Column("slide"), table.Column("name"));
  const int patient = table.Column("patient_id");
  if (slide < 0 || patient < 0) {
    throw DataError(fmt::format("{} lacks the column {}", path, slide < 0 ? "slide" : "patient_id"),
                    "ssl.patients needs the columns slide (or name) and patient_id");
  }
  std::map<std::string, std::string> patients;
  for (const auto& row : table.rows) {
    const std::string& name = row[static_cast<size_t>(slide)];
    patients[name] = patients[fs::path(name).stem().string()] = row[static_cast<size_t>(patient)];
  }
  for (const auto& row : table.rows) {
    const std::string& id = row[static_cast<size_t>(patient)];
    const auto [entry, fresh] = patients.try_emplace(id, id);
    if (fresh || entry->second == id) continue;
    throw DataError(fmt::format("{} names {} as a patient and as a slide of patient {}", path, id,
                                entry->second),
                    "rename one: slides and patients must be told apart");
  }
  return patients;
}

struct SslTiles {
  std::unique_ptr<engine::ImageSource> source;
  int64_t tiles = 0, slides = 0, slides_left_out = 0;
};

// Tiles of all patients but those of validation and test, and the set of other patients.
SslTiles OpenTrainTiles(const StudySetup& setup, const segment::MaskDataset& data,
                        const segment::ImageSplit& split) {
  const auto patients = ReadSslPatients(setup.ssl_patients);
  std::set<std::string> held_out;
  std::map<std::string, std::string> held_out_slides;  // slide -> image
  for (const auto* part : {&split.val, &split.test}) {
    for (const int64_t i : *part) {
      const segment::MaskItem& item = data.item(i);
      held_out.insert(item.patient);
      if (!item.slide.empty()) held_out_slides[item.slide] = item.name;
    }
  }
  SslTiles ssl;
  ssl.source = pretrain::OpenData(setup.SslOptions());
  std::set<std::string> kept, left_out;
  for (int64_t i = 0; i < ssl.source->size(); ++i) {
    const std::string group = ssl.source->group(i);
    const auto patient = patients.find(group);
    if (patient == patients.end()) {
      throw DataError(fmt::format("{} ({}) has no patient in {}", group, ssl.source->name(i),
                                  setup.ssl_patients),
                      "add a row for it: a test patient's tiles must not slip into pretraining");
    }
    if (held_out.contains(patient->second)) {
      left_out.insert(group);
      continue;
    }
    const auto slide = held_out_slides.find(group);
    if (slide != held_out_slides.end()) {
      throw DataError(
          fmt::format(
              "slide {} belongs to patient {} in {}, but the held-out image {} is of it too", group,
              patient->second, setup.ssl_patients, slide->second),
          "give the slide one patient in both tables");
    }
    kept.insert(group);
  }
  if (kept.empty()) {
    throw DataError("all tiles of ssl.data belong to validation and test patients",
                    "add slides of the training patients");
  }
  ssl.slides = static_cast<int64_t>(kept.size());
  ssl.slides_left_out = static_cast<int64_t>(left_out.size());
  ssl.source = engine::FilterGroups(
      std::move(ssl.source), [kept](const std::string& group) { return kept.contains(group); });
  const auto [weight, others] = setup.SslOthers();
  if (!others.empty()) {
    std::vector<engine::MixPart> parts;
    parts.push_back({1.0, "", std::move(ssl.source)});
    parts.push_back({weight, "others", engine::OpenImageSource(others)});
    ssl.source = engine::MixSources(std::move(parts));
  }
  ssl.tiles = ssl.source->size();
  return ssl;
}

void Pretrain(const pretrain::PretrainOptions& options, const engine::ImageSource& source,
              const fs::path& folder) {
  const bool begun = fs::exists(folder / "state.json");
  engine::RunFolder run = begun ? engine::RunFolder::Open(folder, "pretrain")
                                : engine::RunFolder::Create(folder, "pretrain", options.ToToml());
  if (run.finished()) return;
  pretrain::RunPretrain(options, source, run, begun);
}

bool PretrainFinished(const fs::path& folder) {
  return fs::exists(folder / "state.json") &&
         engine::RunFolder::Open(folder, "pretrain").finished();
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

core::PictureBytes ToBytes(const core::Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

void AddTiles(const engine::ImageSource& source, const std::string& folder,
              segment::ReportExtras* extras) {
  constexpr int64_t kTiles = 40;
  constexpr size_t kSlides = 8;
  const int64_t count = std::min(kTiles, source.size());
  for (int64_t k = 0; k < count; ++k) {
    const core::Image tile = source.Read(k * source.size() / count);
    extras->tiles.push_back(ToBytes(core::EncodeJpeg(core::Thumbnail(tile, 192), 80)));
  }
  if (!fs::is_directory(folder)) return;
  for (const fs::path& path : core::ListFiles(folder, {".h5"}, true)) {
    if (extras->slides.size() == kSlides) break;
    const core::TileStoreReader store(path);
    const auto names = store.preview_names();
    for (const char* wanted : {"grid", "thumbnail"}) {
      if (std::find(names.begin(), names.end(), wanted) == names.end()) continue;
      extras->slides.emplace_back(store.info().SlideStem(), ToBytes(store.ReadPreview(wanted)));
      break;
    }
  }
}

// Compares the tiles with the held-out images; once for as many tiles as there are.
void CheckTiles(const StudySetup& setup, const segment::MaskDataset& data,
                const segment::ImageSplit& split, const SslTiles& ssl, const fs::path& path) {
  if (fs::exists(path) && segment::ReadLeakFacts(path).tiles == ssl.tiles) return;
  const int workers = setup.study.segment.Workers();
  const auto prints = segment::FingerprintImages(data.items(), workers);
  segment::LeakFacts facts;
  segment::CheckTilesHeldOut(data.items(), prints, split,
                             {ssl.tiles, [&](int64_t i) { return ssl.source->Read(i); },
                              [&](int64_t i) { return ssl.source->name(i); }},
                             workers, &facts);
  core::WriteFileAtomic(path, segment::LeakFactsJson(facts));
}

// One fold's tiles: opened, compared with the held-out images, pretrained on.
void PretrainFold(const StudySetup& setup, const segment::MaskDataset& data,
                  const segment::ImageSplit& split, const std::string& imagenet,
                  const fs::path& folder, bool first, PreparedStudy* prepared) {
  const SslTiles ssl = OpenTrainTiles(setup, data, split);
  struct Encoder {
    const char* name;
    std::string init;
  };
  std::vector<Encoder> encoders;
  if (setup.PretrainsFromRandom()) encoders.push_back({kSslFolder, ""});
  if (setup.PretrainsFromImageNet()) encoders.push_back({kFromImageNetFolder, imagenet});
  for (const Encoder& encoder : encoders) {
    if (PretrainFinished(folder / encoder.name)) continue;
    core::LogInfo(
        fmt::format("{}: pretraining on {} tiles of {} slides; {} slides of validation and test "
                    "patients left out",
                    encoder.name, ssl.tiles, ssl.slides, ssl.slides_left_out));
    CheckTiles(setup, data, split, ssl, folder / "ssl_leaks.json");
    const auto start = std::chrono::steady_clock::now();
    Pretrain(setup.SslOptions(encoder.init), *ssl.source, folder / encoder.name);
    prepared->training_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  const pretrain::PretrainOptions options = setup.SslOptions();
  if (fs::exists(folder / "ssl_leaks.json")) {
    const segment::LeakFacts own = segment::ReadLeakFacts(folder / "ssl_leaks.json");
    segment::LeakFacts& all = *prepared->extras.leaks;
    all.tiles += own.tiles;
    all.blank_tiles += own.blank_tiles;
    all.closest = std::max(all.closest, own.closest);
  }
  if (!first) return;
  AddTiles(*ssl.source, options.data, &prepared->extras);
  prepared->extras.pretrain_run = folder / encoders.front().name;
  prepared->extras.facts.emplace_back(
      "pretraining",
      fmt::format("{}, {} epochs of {} tiles ({} slides or pictures of the study's patients{}), "
                  "batch {}, views of {} px; {} slides of validation and test patients left out",
                  options.method, options.epochs, ssl.tiles, ssl.slides,
                  setup.ssl_others.empty() ? "" : ", the rest of other patients", options.batch,
                  options.size, ssl.slides_left_out));
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

}  // namespace

PreparedStudy PrepareStudy(StudySetup* setup, const fs::path& run, bool resume) {
  setup->Check();
  core::MakeFolder(run / "locks");
  const core::FileLock lock = core::FileLock::Wait(run / "locks" / "prepare.lock");
  OpenRun(run, setup->ToToml(), resume);
  const segment::SegmentOptions& recipe = setup->study.segment;
  for (const std::string& warning : segment::Warnings(recipe)) core::LogWarning(warning);
  PreparedStudy prepared;
  prepared.data = std::make_unique<segment::MaskDataset>(recipe.data);
  const segment::MaskDataset& data = *prepared.data;
  const auto& class_pixels = data.ClassPixels(recipe.Workers());
  prepared.extras.leaks.emplace();
  const auto splits = MakeSplits(*setup, data, run, &*prepared.extras.leaks);
  segment::PlanStudy(setup->study, class_pixels, splits);  // mistakes show before pretraining
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
    PretrainFold(*setup, data, splits[fold], imagenet,
                 FoldFolder(run, setup->study, static_cast<int64_t>(fold)), fold == 0, &prepared);
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
