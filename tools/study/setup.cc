// SPDX-License-Identifier: Apache-2.0
#include "tools/study/setup.h"

#include <fmt/format.h>
#include <toml++/toml.h>
#include <algorithm>
#include <initializer_list>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "segment/study/plan/arms.h"

namespace eosin::tools {
namespace {

namespace fs = std::filesystem;
using core::ConfigError;

// Lines of a config that change no result.
bool IsMachineLine(const std::string& line) {
  for (const char* key :
       {"threads = ", "workers = ", "keep_predictions = ", "jobs = ", "in_memory = "}) {
    if (line.rfind(key, 0) == 0) return true;
  }
  return false;
}

std::string Quoted(std::string text) {
  for (size_t at = text.find_first_of("\\\""); at != std::string::npos;
       at = text.find_first_of("\\\"", at + 2)) {
    text.insert(at, "\\");
  }
  return "\"" + text + "\"";
}

}  // namespace

StudySetup::StudySetup() {
  study.Bind(set);
  set.Add("standin.steps", &standin.steps,
          {.doc = "training steps of the stand-in (weights.imagenet = \"stand-in\")", .min = 1});
  set.Add("standin.size", &standin.size,
          {.doc = "side of its pictures", .unit = "px", .min = 16, .max = 512});
  set.Add("standin.batch", &standin.batch, {.doc = "pictures a step", .min = 2, .max = 4096});
  set.Add("standin.lr", &standin.lr, {.doc = "its learning rate", .min = 0, .max = 10});
}

void StudySetup::SetSsl(const std::string& key, const std::string& value) {
  if (key == "patients") {
    ssl_patients = value;
  } else if (key == "others") {
    ssl_others = value;
  } else {
    ssl.emplace_back(key == "data" ? "data.path" : key, value);
  }
}

void StudySetup::Assign(const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (assignment.rfind("ssl.", 0) == 0 && equals != std::string::npos) {
    SetSsl(assignment.substr(4, equals - 4), assignment.substr(equals + 1));
  } else {
    set.Set(assignment);
  }
}

void StudySetup::ReadToml(const std::string& path) {
  std::string text;
  try {
    text = core::ReadFile(path);
  } catch (const core::DataError& error) {
    throw ConfigError(error.what(), "--config takes the path of a TOML file; see configs/");
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

bool StudySetup::HasSslData() const {
  bool data = false;
  for (const auto& [key, value] : ssl) {
    if (key == "data.path") data = !value.empty();
  }
  return data;
}

bool StudySetup::HasArm(std::initializer_list<const char*> names) const {
  const std::vector<segment::Arm> arms = segment::ResolveArms(study);
  return std::any_of(arms.begin(), arms.end(), [&](const segment::Arm& arm) {
    return std::find(names.begin(), names.end(), arm.name) != names.end();
  });
}

bool StudySetup::PretrainsFromRandom() const {
  return study.ssl.empty() && HasSslData() && HasArm({"ssl", "ssl_partial", "ssl_frozen"});
}

bool StudySetup::PretrainsFromImageNet() const {
  return study.ssl_from_imagenet.empty() && !study.imagenet.empty() && HasSslData() &&
         HasArm({"ssl_from_imagenet"});
}

bool StudySetup::UsesStandIn() const {
  return study.imagenet == "stand-in" &&
         HasArm({"imagenet", "imagenet_partial", "ssl_from_imagenet"});
}

std::pair<double, std::string> StudySetup::SslOthers() const {
  const size_t colon = ssl_others.find(':');
  if (ssl_others.empty()) return {1, ""};
  char* end = nullptr;
  const double weight = std::strtod(ssl_others.c_str(), &end);
  if (colon == std::string::npos || end != ssl_others.c_str() + colon || !(weight > 0)) {
    throw ConfigError(
        fmt::format("ssl.others = \"{}\" is not WEIGHT:PATH", ssl_others),
        "for example ssl.others = \"1:LC25000\": as many samples of it as of ssl.data");
  }
  return {weight, ssl_others.substr(colon + 1)};
}

pretrain::PretrainOptions StudySetup::SslOptions(const std::string& init) const {
  const segment::SegmentOptions& s = study.segment;
  std::vector<std::pair<std::string, std::string>> all = {
      {"model.arch", s.arch},
      {"model.stem", s.stem},
      {"model.width", std::to_string(s.width)},
      {"compute.threads", std::to_string(s.compute.threads)},
      {"compute.device", s.compute.device},
      {"compute.precision", s.compute.precision}};
  all.insert(all.end(), ssl.begin(), ssl.end());
  if (!init.empty()) all.emplace_back("model.init", init);
  pretrain::PretrainOptions options = pretrain::ReadOptions("", "", all);
  if (options.arch != s.arch || options.stem != s.stem || options.width != s.width) {
    throw ConfigError(
        fmt::format(
            "[ssl] pretrains a {} of width {} with the {} stem, but the study segments with "
            "a {} of width {} with the {} stem",
            options.arch, options.width, options.stem, s.arch, s.width, s.stem),
        "leave model.arch, model.stem and model.width out of [ssl]: they follow the study's");
  }
  return options;
}

void StudySetup::Check() const {
  study.Check();
  if (study.ssl == "stand-in") {
    throw ConfigError("weights.ssl = \"stand-in\" is not possible",
                      "only weights.imagenet has a stand-in");
  }
  if (UsesStandIn() && study.segment.width != 64) {
    throw ConfigError("the stand-in has a width of 64, and model.width is another",
                      "leave model.width out, or leave weights.imagenet empty");
  }
  const segment::PrimaryComparison primary = segment::ParsePrimary(study.primary);
  for (const segment::Arm& arm : segment::ResolveArms(study)) {
    const bool made = arm.name == "ssl_from_imagenet" ? PretrainsFromImageNet()
                                                      : !study.ssl.empty() || PretrainsFromRandom();
    if (arm.skipped.empty() || (arm.name != primary.arm_a && arm.name != primary.arm_b)) continue;
    if (made && arm.name.rfind("ssl", 0) == 0) continue;
    throw ConfigError(fmt::format("study.primary = \"{}\" needs the arm {}, which has {}",
                                  study.primary, arm.name, arm.skipped),
                      "give the file, or [ssl] with data and patients, or name another comparison");
  }
  if (Pretrains()) {
    SslOptions().Check();
    SslOthers();
  }
  for (int64_t fold = 0; fold < study.Folds(); ++fold) {
    for (const segment::Arm& arm : segment::ResolveArms(study, fold)) {
      if (arm.init.empty() || arm.init == "random" || arm.init == "stand-in") continue;
      if (!fs::exists(arm.init)) {
        throw core::WeightsError(
            fmt::format("there is no weights file {} for the arm {}", arm.init, arm.name),
            "weights.* take the path of a .safetensors or .pth file");
      }
    }
  }
}

std::string StudySetup::ToToml() const {
  std::string text = set.ToToml();
  if (!Pretrains()) return text;
  std::string own = SslOptions().ToToml();
  for (size_t at = own.find("\n["); at != std::string::npos; at = own.find("\n[", at + 1)) {
    own.insert(at + 2, "ssl.");
  }
  return text + "\n[ssl]\n# CSV with columns slide (or name) and patient_id\npatients = " +
         Quoted(ssl_patients) +
         "\n# WEIGHT:PATH, more pictures, of other patients than the study's\nothers = " +
         Quoted(ssl_others) + "\n" + own;
}

void CheckSameConfig(const StudySetup& setup, const fs::path& path) {
  StudySetup old;  // read and written again: comments and new keys are those of this version
  old.ReadToml(path.string());
  std::istringstream a(old.ToToml()), b(setup.ToToml());
  std::string line_a, line_b;
  while (true) {
    const bool more_a = static_cast<bool>(std::getline(a, line_a));
    const bool more_b = static_cast<bool>(std::getline(b, line_b));
    if (!more_a && !more_b) return;
    if (more_a == more_b &&
        (line_a == line_b || (IsMachineLine(line_a) && IsMachineLine(line_b)))) {
      continue;
    }
    throw ConfigError(
        fmt::format("the study in {} was started with other settings: it has \"{}\", now \"{}\"",
                    path.parent_path().string(), more_a ? line_a : "nothing",
                    more_b ? line_b : "nothing"),
        "resume without --config and --set, or choose another --out");
  }
}

}  // namespace eosin::tools
