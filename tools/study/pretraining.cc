// SPDX-License-Identifier: Apache-2.0
#include "tools/study/pretraining.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/image/resample.h"
#include "core/store/tile_store.h"
#include "engine/data/mixed_source.h"
#include "pretrain/data.h"
#include "pretrain/trainer.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using core::DataError;

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
  return engine::RunFolder::IsFinished(folder, "pretrain");
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

// What the report says of the pretraining, from one fold's.
void Describe(const StudySetup& setup, const SslTiles& ssl, const fs::path& run,
              segment::ReportExtras* report) {
  const pretrain::PretrainOptions options = setup.SslOptions();
  AddTiles(*ssl.source, options.data, report);
  report->pretrain_run = run;
  report->facts.emplace_back(
      "pretraining",
      fmt::format("{}, {} epochs of {} tiles ({} slides or pictures of the study's patients{}), "
                  "batch {}, views of {} px; {} slides of validation and test patients left out",
                  options.method, options.epochs, ssl.tiles, ssl.slides,
                  setup.ssl_others.empty() ? "" : ", the rest of other patients", options.batch,
                  options.size, ssl.slides_left_out));
}

}  // namespace

PretrainedFold PretrainFold(const StudySetup& setup, const segment::MaskDataset& data,
                            const segment::ImageSplit& split, const std::string& imagenet,
                            const fs::path& folder, segment::ReportExtras* report) {
  const SslTiles ssl = OpenTrainTiles(setup, data, split);
  struct Encoder {
    const char* name;
    std::string init;
  };
  std::vector<Encoder> encoders;
  if (setup.PretrainsFromRandom()) encoders.push_back({kSslFolder, ""});
  if (setup.PretrainsFromImageNet()) encoders.push_back({kFromImageNetFolder, imagenet});
  const fs::path checked = folder / "ssl_leaks.json";
  PretrainedFold fold;
  for (const Encoder& encoder : encoders) {
    if (PretrainFinished(folder / encoder.name)) continue;
    core::LogInfo(
        fmt::format("{}: pretraining on {} tiles of {} slides; {} slides of validation and test "
                    "patients left out",
                    encoder.name, ssl.tiles, ssl.slides, ssl.slides_left_out));
    CheckTiles(setup, data, split, ssl, checked);
    const auto start = std::chrono::steady_clock::now();
    Pretrain(setup.SslOptions(encoder.init), *ssl.source, folder / encoder.name);
    fold.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  if (fs::exists(checked)) fold.leaks = segment::ReadLeakFacts(checked);
  if (report) Describe(setup, ssl, folder / encoders.front().name, report);
  return fold;
}

}  // namespace eosin::tools
