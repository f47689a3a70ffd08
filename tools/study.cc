// SPDX-License-Identifier: Apache-2.0
// eosin study: joins pretraining and segmentation. The split comes first, so that pretraining never
// sees a validation or test patient; then encoder, stand-in, all models, analysis and report.
#include <fmt/format.h>
#include <toml++/toml.h>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/formats/csv.h"
#include "core/image/codec.h"
#include "core/store/tile_store.h"
#include "pretrain/data.h"
#include "pretrain/standin.h"
#include "pretrain/trainer.h"
#include "segment/study/report.h"
#include "segment/study/run.h"
#include "segment/train/trainer.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using Assignments = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kAbout =
    "Compares initialisations of a segmentation network, paired and with intervals: arms x label\n"
    "fractions x seeds on one split by patient, and one sentence at the end.\n\n"
    "  eosin study --config configs/glas.toml --set data=DATA --set weights.imagenet=r50.pth --out "
    "RUN\n"
    "  eosin study --out RUN --resume            after an interruption\n\n"
    "Keys below [ssl] are those of eosin pretrain (eosin pretrain --help) and make the study "
    "pretrain\n"
    "on the tiles of all patients but its validation and test patients; ssl.data = FOLDER of tile\n"
    "stores or images, ssl.patients = CSV with slide (or name) and patient_id. Instead,\n"
    "weights.ssl = FILE takes an encoder that is there already.\n\n"
    "RUN/report.html answers the question; study.json, results.csv and summary.md hold the same "
    "for\n"
    "programs; runs/*/result.json the pixel counts behind it all.";

// Everything a study is made of.
struct Setup {
  segment::StudyOptions study;
  pretrain::StandInOptions standin;
  Assignments ssl;           // keys of eosin pretrain, later ones win
  std::string ssl_patients;  // CSV
  core::OptionSet set;       // points into this object

  Setup() {
    study.Bind(set);
    set.Add("standin.steps", &standin.steps,
            {.doc = "training steps of the stand-in (weights.imagenet = \"stand-in\")", .min = 1});
    set.Add("standin.size", &standin.size,
            {.doc = "side of its pictures", .unit = "px", .min = 16, .max = 512});
    set.Add("standin.batch", &standin.batch, {.doc = "pictures a step", .min = 2, .max = 4096});
    set.Add("standin.lr", &standin.lr, {.doc = "its learning rate", .min = 0, .max = 10});
  }
  Setup(const Setup&) = delete;
  Setup& operator=(const Setup&) = delete;

  void SetSsl(const std::string& key, const std::string& value) {
    if (key == "patients") {
      ssl_patients = value;
    } else {
      ssl.emplace_back(key == "data" ? "data.path" : key, value);
    }
  }

  void Assign(const std::string& assignment) {
    const size_t equals = assignment.find('=');
    if (assignment.rfind("ssl.", 0) == 0 && equals != std::string::npos) {
      SetSsl(assignment.substr(4, equals - 4), assignment.substr(equals + 1));
    } else {
      set.Set(assignment);
    }
  }

  // A TOML file; its table [ssl] holds keys of eosin pretrain.
  void ReadToml(const std::string& path) {
    std::string text;
    try {
      text = core::ReadFile(path);
    } catch (const core::DataError& error) {
      throw core::ConfigError(error.what(), "--config takes the path of a TOML file; see configs/");
    }
    toml::table root;
    try {
      root = toml::parse(text, path);
    } catch (const toml::parse_error&) {
      set.ReadTomlText(text, path);  // throws with the line
    }
    auto walk = [&](auto&& self, const toml::table& table, const std::string& prefix) -> void {
      for (const auto& [name, node] : table) {
        const std::string key = prefix + std::string(name.str());
        if (const toml::table* inner = node.as_table()) {
          self(self, *inner, key + ".");
          continue;
        }
        std::ostringstream value;
        node.visit([&](const auto& item) { value << item; });
        SetSsl(key, node.template value<std::string>().value_or(value.str()));
      }
    };
    if (const toml::table* table = root["ssl"].as_table()) walk(walk, *table, "");
    root.erase("ssl");
    std::ostringstream rest;
    rest << root;
    set.ReadTomlText(rest.str(), path);
  }

  bool UsesSsl() const {
    for (const segment::Arm& arm : segment::ResolveArms(study)) {
      if (arm.name.rfind("ssl", 0) == 0 && arm.name != "ssl_from_imagenet") return true;
    }
    return false;
  }
  bool Pretrains() const {
    std::string data;
    for (const auto& [key, value] : ssl) {
      if (key == "data.path") data = value;
    }
    return study.ssl.empty() && !data.empty() && UsesSsl();
  }
  bool UsesStandIn() const { return study.imagenet == "stand-in"; }

  // The recipe of the pretraining: the study's network and machine unless [ssl] says otherwise.
  pretrain::PretrainOptions SslOptions() const {
    const segment::SegmentOptions& s = study.segment;
    Assignments all = {{"model.arch", s.arch},
                       {"model.stem", s.stem},
                       {"compute.threads", std::to_string(s.compute.threads)},
                       {"compute.device", s.compute.device},
                       {"compute.precision", s.compute.precision}};
    all.insert(all.end(), ssl.begin(), ssl.end());
    pretrain::PretrainOptions options = pretrain::ReadOptions("", "", all);
    if (options.arch != s.arch || options.stem != s.stem) {
      throw core::ConfigError(
          fmt::format(
              "[ssl] pretrains a {} with the {} stem, but the study segments with a {} with the "
              "{} stem",
              options.arch, options.stem, s.arch, s.stem),
          "leave model.arch and model.stem out of [ssl]: they follow the study's");
    }
    return options;
  }

  void Check() const {
    study.Check();
    if (study.ssl == "stand-in") {
      throw core::ConfigError("weights.ssl = \"stand-in\" is not possible",
                              "only weights.imagenet has a stand-in");
    }
    if (Pretrains()) SslOptions().Check();
    for (const segment::Arm& arm : segment::ResolveArms(study)) {
      if (arm.init.empty() || arm.init == "random" || arm.init == "stand-in") continue;
      if (!fs::exists(arm.init)) {
        throw core::WeightsError(
            fmt::format("there is no weights file {} for the arm {}", arm.init, arm.name),
            "weights.* take the path of a .safetensors or .pth file");
      }
    }
  }

  std::string ToToml() const {
    std::string text = set.ToToml();
    if (!Pretrains()) return text;
    std::string own = SslOptions().ToToml();
    for (size_t at = own.find("\n["); at != std::string::npos; at = own.find("\n[", at + 1)) {
      own.insert(at + 2, "ssl.");
    }
    std::string patients = ssl_patients;
    for (size_t at = patients.find_first_of("\\\""); at != std::string::npos;
         at = patients.find_first_of("\\\"", at + 2)) {
      patients.insert(at, "\\");
    }
    return text + "\n[ssl]\n# CSV with columns slide (or name) and patient_id\npatients = \"" +
           patients + "\"\n" + own;
  }
};

// Lines of a config that change no result.
bool IsMachineLine(const std::string& line) {
  for (const char* key : {"threads = ", "workers = ", "device = ", "keep_predictions = "}) {
    if (line.rfind(key, 0) == 0) return true;
  }
  return false;
}

void CheckSameConfig(const std::string& stored, const std::string& now, const fs::path& path) {
  std::istringstream a(stored), b(now);
  std::string line_a, line_b;
  while (true) {
    const bool more_a = static_cast<bool>(std::getline(a, line_a));
    const bool more_b = static_cast<bool>(std::getline(b, line_b));
    if (!more_a && !more_b) return;
    if (more_a == more_b &&
        (line_a == line_b || (IsMachineLine(line_a) && IsMachineLine(line_b)))) {
      continue;
    }
    throw core::ConfigError(
        fmt::format("the study in {} was started with other settings: it has \"{}\", now \"{}\"",
                    path.parent_path().string(), more_a ? line_a : "nothing",
                    more_b ? line_b : "nothing"),
        "resume without --config and --set, or choose another --out");
  }
}

// Makes RUN, or finds the study in it.
void OpenRun(const fs::path& run, const std::string& config, bool resume) {
  const fs::path path = run / "config.toml";
  core::MakeFolder(run);
  if (fs::exists(path)) {
    const bool begun = fs::exists(run / "runs") || fs::exists(run / "ssl");
    if (begun && !resume) {
      throw core::DataError(fmt::format("{} holds a study already", run.string()),
                            "continue it with --resume, or choose another --out");
    }
    if (begun) CheckSameConfig(core::ReadFile(path), config, path);
  } else if (!fs::is_empty(run)) {
    throw core::DataError(
        fmt::format("the folder {} is not empty and holds no study", run.string()),
        "choose another --out");
  }
  core::WriteFileAtomic(path, config);
}

segment::ImageSplit MakeSplit(const Setup& setup, const segment::MaskDataset& data,
                              const fs::path& run) {
  const int workers = setup.study.segment.Workers();
  const auto& hashes = data.FileHashes(workers);
  const segment::ImageSplit split = segment::SplitByPatient(data.items(), setup.study.split);
  segment::CheckNoLeak(data.items(), hashes, split);
  const std::string json = segment::SplitToJson(data.items(), hashes, split, setup.study.split);
  const fs::path path = run / "split.json";
  const bool begun = fs::exists(run / "runs") || fs::exists(run / "ssl");
  if (begun && fs::exists(path) && core::ReadFile(path) != json) {
    throw core::DataError(fmt::format("the data changed since {} was written", path.string()),
                          "start a new study in another --out");
  }
  core::WriteFileAtomic(path, json);
  return split;
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
    throw core::DataError(
        fmt::format("{} lacks the column {}", path, slide < 0 ? "slide" : "patient_id"),
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
    throw core::DataError(fmt::format("{} names {} as a patient and as a slide of patient {}", path,
                                      id, entry->second),
                          "rename one: slides and patients must be told apart");
  }
  return patients;
}

struct SslOutcome {
  fs::path run;
  int64_t tiles = 0, slides = 0, slides_left_out = 0;
};

// Tiles of all patients but those of validation and test.
std::unique_ptr<engine::ImageSource> OpenTrainTiles(const Setup& setup,
                                                    const segment::MaskDataset& data,
                                                    const segment::ImageSplit& split,
                                                    SslOutcome* outcome) {
  const auto patients = ReadSslPatients(setup.ssl_patients);
  std::set<std::string> held_out;
  for (const auto* part : {&split.val, &split.test}) {
    for (const std::string& patient : segment::PatientsOf(data.items(), *part))
      held_out.insert(patient);
  }
  auto source = pretrain::OpenData(setup.SslOptions());
  std::set<std::string> kept, left_out;
  for (int64_t i = 0; i < source->size(); ++i) {
    const std::string group = source->group(i);
    const auto patient = patients.find(group);
    if (patient == patients.end()) {
      throw core::DataError(
          fmt::format("{} ({}) has no patient in {}", group, source->name(i), setup.ssl_patients),
          "add a row for it: a test patient's tiles must not slip into pretraining");
    }
    (held_out.contains(patient->second) ? left_out : kept).insert(group);
  }
  if (kept.empty()) {
    throw core::DataError("all tiles of ssl.data belong to validation and test patients",
                          "add slides of the training patients");
  }
  outcome->slides = static_cast<int64_t>(kept.size());
  outcome->slides_left_out = static_cast<int64_t>(left_out.size());
  source = engine::FilterGroups(std::move(source),
                                [&](const std::string& group) { return kept.contains(group); });
  outcome->tiles = source->size();
  return source;
}

void Pretrain(const Setup& setup, const engine::ImageSource& source, const fs::path& folder) {
  const pretrain::PretrainOptions options = setup.SslOptions();
  const bool begun = fs::exists(folder / "state.json");
  engine::RunFolder run = begun ? engine::RunFolder::Open(folder, "pretrain")
                                : engine::RunFolder::Create(folder, "pretrain", options.ToToml());
  if (run.finished()) return;
  pretrain::RunPretrain(options, source, run, begun);
}

void TrainStandIn(Setup* setup, const fs::path& run) {
  const fs::path path = run / "standin.pth";
  if (!fs::exists(path)) {
    core::LogInfo("training the stand-in for ImageNet weights on made textures");
    pretrain::StandInOptions options = setup->standin;
    options.arch = setup->study.segment.arch;
    options.stem = setup->study.segment.stem;
    options.compute = setup->study.segment.compute;
    pretrain::TrainStandIn(options, path);
  }
  setup->study.imagenet = path.string();
  setup->study.imagenet_label = "stand-in, not ImageNet";
}

core::PictureBytes ToBytes(const core::Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

void AddTiles(const engine::ImageSource& source, const std::string& folder,
              segment::ReportExtras* extras) {
  constexpr int64_t kTiles = 40;
  constexpr size_t kSlides = 8;
  const int64_t count = std::min(kTiles, source.size());
  for (int64_t k = 0; k < count; ++k) {
    const core::Image tile = source.Read(k * source.size() / count);
    extras->tiles.push_back(ToBytes(core::EncodeJpeg(tile, 80)));
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

int Run(Setup& setup, const fs::path& run, bool resume) {
  setup.Check();
  OpenRun(run, setup.ToToml(), resume);
  const segment::SegmentOptions& recipe = setup.study.segment;
  for (const std::string& warning : segment::Warnings(recipe)) core::LogWarning(warning);
  const segment::MaskDataset data(recipe.data);
  const auto& class_pixels = data.ClassPixels(recipe.Workers());
  const segment::ImageSplit split = MakeSplit(setup, data, run);
  segment::PlanStudy(setup.study, class_pixels, split);  // mistakes show before pretraining
  core::LogInfo(fmt::format("{} images: {} train, {} validation, {} test", data.size(),
                            split.train.size(), split.val.size(), split.test.size()));

  segment::ReportExtras extras;
  if (setup.Pretrains()) {
    SslOutcome ssl;
    const auto source = OpenTrainTiles(setup, data, split, &ssl);
    core::LogInfo(
        fmt::format("pretraining on {} tiles of {} slides; {} slides of validation and test "
                    "patients left out",
                    ssl.tiles, ssl.slides, ssl.slides_left_out));
    const pretrain::PretrainOptions options = setup.SslOptions();
    Pretrain(setup, *source, run / "ssl");
    AddTiles(*source, options.data, &extras);
    setup.study.ssl = (run / "ssl" / "encoder.safetensors").string();
    extras.pretrain_run = run / "ssl";
    extras.facts.emplace_back(
        "pretraining",
        fmt::format(
            "{}, {} epochs of {} tiles from {} slides, batch {}, views of {} px; {} slides of "
            "validation and test patients left out",
            options.method, options.epochs, ssl.tiles, ssl.slides, options.batch, options.size,
            ssl.slides_left_out));
  }
  if (setup.UsesStandIn()) {
    TrainStandIn(&setup, run);
    extras.facts.emplace_back("stand-in",
                              "a supervised ResNet trained here on made textures; it is not "
                              "ImageNet, and no figure of that arm says anything about ImageNet");
  }

  const segment::StudyPlan plan = segment::PlanStudy(setup.study, class_pixels, split);
  for (const segment::Arm& arm : plan.arms) {
    if (!arm.skipped.empty())
      core::LogWarning(fmt::format("arm {} is skipped: {}", arm.name, arm.skipped));
  }
  const auto results = segment::RunJobs(
      setup.study, data, plan, run,
      [](const segment::SegmentOptions& options, const segment::MaskDataset& images,
         const segment::ImageSplit& parts, const fs::path& folder, const segment::StepHook& hook) {
        return segment::TrainSegmenter(options, images, parts, folder, {.hook = hook});
      });
  const segment::Analysis analysis = segment::Analyze(setup.study, plan, results);
  segment::WriteAnalysis(setup.study, plan, results, analysis, run);
  segment::WriteStudyReport(setup.study, data, plan, results, analysis, extras, run);
  std::printf("%s\n%s\n", analysis.verdict_sentence.c_str(),
              fs::absolute(run / "report.html").lexically_normal().c_str());
  return 0;
}

}  // namespace

int RunStudyCommand(int argc, char** argv) {
  Setup setup;
  CLI::App app(kAbout, "eosin study");
  std::string out;
  std::vector<std::string> configs, assignments;
  bool resume = false;
  app.add_option("--out", out, "folder of the study")->required();
  app.add_option("--config", configs, "TOML file with keys; repeatable, later ones win")
      ->take_all();
  app.add_flag("--resume", resume, "continue the study in --out (also where there is none yet)");
  app.add_option("--set", assignments, "key=value, repeatable; wins over all other ways")
      ->take_all();
  app.footer(
      "\nKeys for --config (TOML) and --set, with their defaults (and ssl.* as in eosin pretrain "
      "--help):\n" +
      setup.set.Help());
  if (const auto done = Parse(app, argc, argv)) return *done;
  const fs::path stored = fs::path(out) / "config.toml";
  if (configs.empty() && resume && fs::exists(stored)) configs.push_back(stored.string());
  if (configs.empty() && assignments.empty()) {
    throw core::ConfigError("no settings given", "name a config with --config; see configs/");
  }
  for (const std::string& config : configs) setup.ReadToml(config);
  for (const std::string& assignment : assignments) setup.Assign(assignment);
  try {
    return Run(setup, out, resume);
  } catch (const core::InterruptedError&) {
    throw core::InterruptedError("interrupted; what is finished is kept",
                                 fmt::format("continue with: eosin study --out {} --resume", out));
  }
}

}  // namespace eosin::tools
