// SPDX-License-Identifier: Apache-2.0
#include "tools/study/pretraining.h"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/image/resample.h"
#include "core/store/tile_store.h"
#include "engine/data/mixed_source.h"
#include "pretrain/data.h"
#include "pretrain/trainer.h"
#include "segment/data/patients.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using core::DataError;

constexpr const char* kNames = "images.txt";  // of ssl.data, that an encoder was pretrained on

// ssl.patients: who a tile is of. Rows are known by their names as written and, where no two
// patients share one, by the names without folder and extension.
class SslPatients {
 public:
  explicit SslPatients(const std::string& path) : path_(path) {
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
      throw DataError(
          fmt::format("{} lacks the column {}", path, slide < 0 ? "slide" : "patient_id"),
          "ssl.patients needs the columns slide (or name) and patient_id");
    }
    for (const auto& row : table.rows) {
      const std::string name = core::Trimmed(row[static_cast<size_t>(slide)]);
      const std::string id = core::Trimmed(row[static_cast<size_t>(patient)]);
      if (id.empty()) {
        throw DataError(fmt::format("{} names no patient for {}", path, name),
                        "every row needs a patient_id");
      }
      const auto [entry, fresh] = names_.try_emplace(name, id);
      if (!fresh && entry->second != id) {
        throw DataError(
            fmt::format("{} gives {} to patient {} and to patient {}", path, name, entry->second,
                        id),
            "a slide or picture has one patient; pictures of equal names in several folders are "
            "told apart by their paths below ssl.data");
      }
      stems_[segment::ItemStem(name)].insert(id);
      patients_.insert(id);
    }
    for (const std::string& id : patients_) {  // stores that know their patient are grouped by it
      const auto entry = names_.find(id);
      if (entry == names_.end() || entry->second == id) continue;
      throw DataError(fmt::format("{} names {} as a patient and as a slide of patient {}", path, id,
                                  entry->second),
                      "rename one: slides and patients must be told apart");
    }
  }

  // Of an image of ssl.data, by its path below the folder, its group, and the group's stem.
  // DataError where the table does not say.
  std::string Of(const engine::ImageSource& source, int64_t index) const {
    const std::string name = source.name(index), group = core::Trimmed(source.group(index));
    if (const auto found = Find(name, group)) return *found;
    throw DataError(fmt::format("{} ({}) has no patient in {}", group, name, path_),
                    "add a row for it: a test patient's tiles must not slip into pretraining");
  }

  const std::set<std::string>& patients() const { return patients_; }
  // Whether a row has this name, folder and extension aside.
  bool Names(const std::string& stem) const { return stems_.contains(stem); }

 private:
  // Nothing where no row fits.
  std::optional<std::string> Find(const std::string& name, const std::string& group) const {
    for (const std::string& key : {name, group}) {
      if (const auto entry = names_.find(key); entry != names_.end()) return entry->second;
    }
    if (patients_.contains(group)) return group;
    const auto stem = stems_.find(segment::ItemStem(group));
    if (stem == stems_.end()) return std::nullopt;
    if (stem->second.size() == 1) return *stem->second.begin();
    throw DataError(fmt::format("{} may be of the patients {}: {} has several rows of that name",
                                name, fmt::join(stem->second, ", "), path_),
                    "write the rows' names as paths below ssl.data, with extension");
  }

  std::string path_;
  std::map<std::string, std::string> names_;            // as written -> patient
  std::map<std::string, std::set<std::string>> stems_;  // without folder and extension -> patients
  std::set<std::string> patients_;
};

struct SslTiles {
  std::unique_ptr<engine::ImageSource> source;
  int64_t tiles = 0, slides = 0, slides_left_out = 0;
  std::vector<std::string> names;  // of those of ssl.data
  std::string key;  // hash of who the tiles are: names, and the table of patients or the encoder
};

std::string Key(const std::string& first, const engine::ImageSource& source) {
  core::Sha256 hash;
  hash.Update(first + "\n");
  for (int64_t i = 0; i < source.size(); ++i) hash.Update(source.name(i) + "\n");
  return hash.Hex();
}

// Images and slides of validation and test.
struct HeldOut {
  std::set<std::string> patients;
  std::map<std::string, std::string> slides;  // slide -> image
};

HeldOut HeldOutOf(const segment::MaskDataset& data, const segment::ImageSplit& split) {
  HeldOut held_out;
  for (const auto* part : {&split.val, &split.test}) {
    for (const int64_t i : *part) {
      const segment::MaskItem& item = data.item(i);
      held_out.patients.insert(item.patient);
      if (!item.slide.empty()) held_out.slides[segment::ItemStem(item.slide)] = item.name;
    }
  }
  return held_out;
}

// Pictures that are said to be of other patients must be no slides or pictures that the tables
// know. Patient ids are not compared: every data set has a patient 8.
void CheckOthers(const engine::ImageSource& others, const SslPatients& patients,
                 const segment::MaskDataset& data, const std::string& path) {
  std::set<std::string> known;
  for (const segment::MaskItem& item : data.items()) {
    known.insert(segment::ItemStem(item.name));
    if (!item.slide.empty()) known.insert(segment::ItemStem(item.slide));
  }
  for (int64_t i = 0; i < others.size(); ++i) {
    const std::string name = others.name(i);  // below the folder; of a tile: STORE#ROW
    const bool tile = name.find_first_not_of("0123456789", name.rfind('#') + 1) == name.npos;
    const std::string stem = segment::ItemStem(tile ? name.substr(0, name.rfind('#')) : name);
    if (!known.contains(stem) && !patients.Names(stem)) continue;
    throw DataError(
        fmt::format("ssl.others = {} is for other patients, but the study knows {}", path, name),
        "tiles of the study's patients belong into ssl.data; rename it if it is another's");
  }
}

// Tiles of all patients but those of validation and test, and the set of other patients.
SslTiles OpenTrainTiles(const StudySetup& setup, const segment::MaskDataset& data,
                        const segment::ImageSplit& split) {
  const SslPatients patients(setup.ssl_patients);
  std::set<std::string> ids = patients.patients();
  for (const segment::MaskItem& item : data.items()) ids.insert(item.patient);
  segment::CheckPatientIds(ids, "ssl.patients, or data,");
  const HeldOut held_out = HeldOutOf(data, split);
  SslTiles ssl;
  ssl.source = pretrain::OpenData(setup.SslOptions());
  std::vector<int64_t> kept;
  std::set<std::string> slides, left_out;  // of equal names in several folders: with the patient
  for (int64_t i = 0; i < ssl.source->size(); ++i) {
    const std::string group = ssl.source->group(i);
    const std::string patient = patients.Of(*ssl.source, i);
    if (held_out.patients.contains(patient)) {
      left_out.insert(patient + "/" + group);
      continue;
    }
    if (const auto slide = held_out.slides.find(segment::ItemStem(group));
        slide != held_out.slides.end()) {
      throw DataError(
          fmt::format(
              "slide {} belongs to patient {} in {}, but the held-out image {} is of it too", group,
              patient, setup.ssl_patients, slide->second),
          "give the slide one patient in both tables");
    }
    slides.insert(patient + "/" + group);
    kept.push_back(i);
  }
  if (kept.empty()) {
    throw DataError("all tiles of ssl.data belong to validation and test patients",
                    "add slides of the training patients");
  }
  ssl.slides = static_cast<int64_t>(slides.size());
  ssl.slides_left_out = static_cast<int64_t>(left_out.size());
  ssl.source = engine::SelectImages(std::move(ssl.source), std::move(kept));
  for (int64_t i = 0; i < ssl.source->size(); ++i) ssl.names.push_back(ssl.source->name(i));
  const auto [weight, others] = setup.SslOthers();
  if (!others.empty()) {
    auto more = engine::OpenImageSource(others);
    CheckOthers(*more, patients, data, others);
    std::vector<engine::MixPart> parts;
    parts.push_back({1.0, "", std::move(ssl.source)});
    parts.push_back({weight, "others", std::move(more)});
    ssl.source = engine::MixSources(std::move(parts));
  }
  ssl.tiles = ssl.source->size();
  ssl.key = Key(core::Sha256File(setup.ssl_patients), *ssl.source);
  return ssl;
}

// Those of the run of eosin pretrain that an encoder lies in; nothing, and why, where its
// config.toml or any of the pictures it lists is not there any more.
std::optional<SslTiles> TilesOfEncoder(const fs::path& encoder, std::string* why) {
  const fs::path config = encoder.parent_path() / "config.toml";
  if (!fs::exists(config)) {
    *why = "no config.toml of eosin pretrain lies beside it";
    return std::nullopt;
  }
  try {
    SslTiles ssl;
    ssl.source = pretrain::OpenData(pretrain::ReadOptions("", config.string(), {}));
    if (const fs::path list = encoder.parent_path() / kNames; fs::exists(list)) {
      std::istringstream lines(core::ReadFile(list));
      std::set<std::string> names;
      for (std::string line; std::getline(lines, line);) names.insert(line);
      std::vector<int64_t> kept;
      for (int64_t i = 0; i < ssl.source->size(); ++i) {
        if (names.contains(ssl.source->name(i))) kept.push_back(i);
      }
      if (kept.size() < names.size()) {
        *why = fmt::format("of the {} pictures in its {} only {} are still there", names.size(),
                           kNames, kept.size());
        return std::nullopt;
      }
      ssl.source = engine::SelectImages(std::move(ssl.source), std::move(kept));
    }
    ssl.tiles = ssl.source->size();
    ssl.key = Key(core::Sha256File(encoder), *ssl.source);
    return ssl;
  } catch (const core::InterruptedError&) {
    throw;
  } catch (const core::Error& error) {
    *why = fmt::format("its config.toml: {}", error.what());
    return std::nullopt;
  }
}

void Pretrain(const pretrain::PretrainOptions& options, const SslTiles& ssl,
              const fs::path& folder) {
  const bool begun = fs::exists(folder / "state.json");
  engine::RunFolder run = begun ? engine::RunFolder::Open(folder, "pretrain")
                                : engine::RunFolder::Create(folder, "pretrain", options.ToToml());
  if (run.finished()) return;
  // Its config.toml names the whole folder.
  if (!fs::exists(folder / kNames)) {
    core::WriteFileAtomic(folder / kNames, fmt::format("{}\n", fmt::join(ssl.names, "\n")));
  }
  pretrain::RunPretrain(options, *ssl.source, run, begun);
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

// Compares the tiles with the held-out images, once. Tiles or a table of patients that changed
// after pretraining began are refused: the encoder is not of them.
segment::LeakFacts CheckTiles(const StudySetup& setup, const segment::MaskDataset& data,
                              const segment::ImageSplit& split, const SslTiles& ssl,
                              const fs::path& path, bool begun) {
  if (fs::exists(path)) {
    const segment::LeakFacts known = segment::ReadLeakFacts(path);
    if (known.tiles_key == ssl.key) return known;
    if (begun) {
      throw DataError(
          fmt::format("the pretraining in {} began with other tiles or another ssl.patients",
                      path.parent_path().string()),
          "put them back, or start a new study in another --out");
    }
  }
  const int workers = setup.study.segment.Workers();
  const auto prints = segment::FingerprintImages(data.items(), workers);
  segment::LeakFacts facts;
  segment::CheckTilesHeldOut(data.items(), prints, split,
                             {ssl.tiles, [&](int64_t i) { return ssl.source->Read(i); },
                              [&](int64_t i) { return ssl.source->name(i); }},
                             workers, &facts);
  facts.tiles_key = ssl.key;
  core::WriteFileAtomic(path, segment::LeakFactsJson(facts));
  return facts;
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
                  setup.ssl_others.empty() ? "" : ", the rest said to be of other patients",
                  options.batch, options.size, ssl.slides_left_out));
}

}  // namespace

segment::LeakFacts CheckPretrainingTiles(const StudySetup& setup, const segment::MaskDataset& data,
                                         const segment::ImageSplit& split, const fs::path& folder) {
  const bool begun = fs::exists(folder / kSslFolder / "state.json") ||
                     fs::exists(folder / kFromImageNetFolder / "state.json");
  return CheckTiles(setup, data, split, OpenTrainTiles(setup, data, split),
                    folder / "ssl_leaks.json", begun);
}

std::optional<segment::LeakFacts> CheckGivenEncoder(const StudySetup& setup,
                                                    const segment::MaskDataset& data,
                                                    const segment::ImageSplit& split,
                                                    const fs::path& encoder, const fs::path& path,
                                                    std::string* why) {
  const std::optional<SslTiles> ssl = TilesOfEncoder(encoder, why);
  if (!ssl) return std::nullopt;
  return CheckTiles(setup, data, split, *ssl, path, false);
}

double PretrainFold(const StudySetup& setup, const segment::MaskDataset& data,
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
  double seconds = 0;
  for (const Encoder& encoder : encoders) {
    if (PretrainFinished(folder / encoder.name)) continue;
    core::LogInfo(
        fmt::format("{}: pretraining on {} tiles of {} slides; {} slides of validation and test "
                    "patients left out",
                    encoder.name, ssl.tiles, ssl.slides, ssl.slides_left_out));
    const auto start = std::chrono::steady_clock::now();
    Pretrain(setup.SslOptions(encoder.init), ssl, folder / encoder.name);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  if (report) Describe(setup, ssl, folder / encoders.front().name, report);
  return seconds;
}

}  // namespace eosin::tools
