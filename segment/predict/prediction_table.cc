// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/prediction_table.h"

#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/lock.h"
#include "core/base/log.h"
#include "core/formats/csv.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "eosin-prediction";

// The folder's results by stem.
std::map<std::string, Json> ReadResults(const fs::path& folder) {
  std::map<std::string, Json> results;
  for (const fs::path& path : core::ListFiles(folder, {".json"}, false)) {
    Json json = ReadPrediction(path);
    if (!json.is_null()) results[path.stem().string()] = std::move(json);
  }
  return results;
}

// The first twelve digits tell models apart. Empty where the result is damaged.
std::string ModelPrefix(const Json& json) {
  const Json::json_pointer model("/settings/model");
  if (!json.contains(model) || !json.at(model).is_string()) return "";
  return json.at(model).get<std::string>().substr(0, 12);
}

std::string Number(const Json& value) {
  if (value.is_null()) return "";
  return value.is_number_integer() ? fmt::format("{}", value.get<int64_t>())
                                   : fmt::format("{:.6g}", value.get<double>());
}

// Before the classes' columns, and behind them. The tissue's name cannot be that of a class.
const std::vector<std::string> kBefore = {"slide", "status", "reason", "model",
                                          "mpp",   "width",  "height", "mm2_of_tissue"};
const std::vector<std::string> kBehind = {"polygons",     "windows",         "windows_run",
                                          "seconds",      "seconds_network", "seconds_decode_cpu",
                                          "seconds_feed", "seconds_blend",   "seconds_write"};

// Slide and reason of the rows of slides that failed, by stem: other processes may have written
// them. None where the table is not there or is not ours.
std::map<std::string, std::vector<std::string>> ReadFailed(const fs::path& path) {
  std::map<std::string, std::vector<std::string>> failed;
  try {
    const core::CsvTable table = core::ReadCsv(path);
    const int status = table.Column("status");
    if (table.Column("slide") != 0 || status != 1 || table.Column("reason") != 2) return {};
    for (const auto& row : table.rows) {
      if (row[1] == "failed") failed[fs::path(row[0]).stem().string()] = {row[0], row[1], row[2]};
    }
  } catch (const core::Error&) {
    return {};
  }
  return failed;
}

// nlohmann's exceptions where something is missing.
std::vector<std::string> Row(const Json& json, const std::vector<std::string>& classes) {
  const Json& warnings = json.at("warnings");
  std::vector<std::string> row = {json.at("slide").get<std::string>(),
                                  "done",
                                  warnings.empty() ? "" : warnings.back().get<std::string>(),
                                  ModelPrefix(json),
                                  Number(json.at("mpp")),
                                  Number(json.at("width")),
                                  Number(json.at("height")),
                                  Number(json.at("tissue_mm2"))};
  const Json& areas = json.at("class_mm2");
  for (const std::string& name : classes) {
    row.push_back(areas.contains(name) ? Number(areas.at(name)) : "");
  }
  for (const char* name : {"features", "windows"}) row.push_back(Number(json.at(name)));
  row.push_back(Number(json.value("windows_run", json.at("windows"))));
  for (const char* name : {"wall", "network", "decode_cpu", "feed", "blend", "write"}) {
    row.push_back(Number(json.at("seconds").at(name)));
  }
  return row;
}

}  // namespace

Json ReadPrediction(const fs::path& path) {
  try {
    Json json = Json::parse(core::ReadFile(path));
    if (json.is_object() && json.value("format", "") == kFormat) return json;
  } catch (const nlohmann::json::exception&) {
  } catch (const core::DataError&) {
  }
  return nullptr;
}

std::string ResultJson(const PredictResult& result, const std::vector<std::string>& classes,
                       const Json& settings, const Json& outputs) {
  const StageSeconds& seconds = result.pipeline.seconds;
  Json areas = Json::object();
  for (size_t c = 0; c < classes.size(); ++c) areas[classes[c]] = result.class_mm2[c];
  const Json json = {{"format", kFormat},
                     {"version", 1},
                     {"slide", result.slide.filename().string()},
                     {"settings", settings},
                     {"outputs", outputs},
                     {"mpp", result.mpp},
                     {"width", result.width},
                     {"height", result.height},
                     {"tissue_mm2", result.tissue_mm2 ? Json(*result.tissue_mm2) : Json()},
                     {"class_mm2", areas},
                     {"features", result.features},
                     {"bad_blocks", result.pipeline.bad_blocks},
                     {"warnings", result.warnings},
                     {"windows", result.pipeline.windows},
                     {"windows_run", result.pipeline.windows_run},
                     {"bands_resumed", result.pipeline.bands_resumed},
                     {"seconds",
                      {{"wall", seconds.wall},
                       {"network", seconds.network},
                       {"decode_cpu", seconds.decode},
                       {"feed", seconds.feed},
                       {"blend", seconds.blend},
                       {"write", seconds.write}}}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

bool SameSettings(const fs::path& path, const Json& settings, const Json& outputs) {
  Json json = ReadPrediction(path), asked = settings;
  if (!json.contains("settings") || !json.contains("outputs")) return false;
  for (Json* one : {&json["settings"], &asked}) {
    if (one->is_object()) one->erase("threads");
  }
  return json["settings"] == asked && json["outputs"] == outputs;
}

void ReadResultJson(const fs::path& path, PredictResult* result) {
  const Json json = ReadPrediction(path);
  try {
    result->mpp = json.at("mpp");
    result->width = json.at("width");
    result->height = json.at("height");
    if (!json.at("tissue_mm2").is_null()) result->tissue_mm2 = json.at("tissue_mm2").get<double>();
    result->features = json.at("features");
    for (const auto& [name, area] : json.at("class_mm2").items()) {
      result->class_mm2.push_back(area.get<double>());
    }
  } catch (const nlohmann::json::exception&) {
    throw core::DataError(path.string() + " is damaged", "pass --overwrite to make it again");
  }
}

void RefuseOtherModels(const fs::path& folder, const std::string& hash) {
  for (const auto& [stem, json] : ReadResults(folder)) {
    const std::string prefix = ModelPrefix(json);
    if (prefix.empty() || prefix == hash.substr(0, 12)) continue;
    throw core::DataError(
        fmt::format("{} holds results of another model ({}.json: model {}, now {})",
                    folder.string(), stem, prefix, hash.substr(0, 12)),
        "give another --out; --overwrite makes the slides named now again and leaves the others, "
        "told apart by the column model of predictions.csv");
  }
}

void WritePredictionTable(const fs::path& folder, const std::vector<PredictResult>& own) {
  const auto lock = core::FileLock::Wait(folder / ".predictions.csv.lock");
  const fs::path path = folder / "predictions.csv";
  std::map<std::string, std::vector<std::string>> unmade = ReadFailed(path);
  for (const PredictResult& result : own) {
    const std::string slide = result.slide.filename().string();
    if (result.status == "failed") unmade[result.stem] = {slide, result.status, result.reason};
    if (result.status == "locked")
      unmade.insert({result.stem, {slide, result.status, result.reason}});
  }
  const std::map<std::string, Json> done = ReadResults(folder);
  std::vector<std::string> classes;
  for (const auto& [stem, json] : done) {
    const auto areas = json.find("class_mm2");
    if (areas == json.end() || !areas->is_object()) continue;
    for (const auto& [name, area] : areas->items()) {
      if (std::find(classes.begin(), classes.end(), name) == classes.end()) {
        classes.push_back(name);
      }
    }
  }
  std::vector<std::string> header = kBefore;
  for (const std::string& name : classes) header.push_back(name + "_mm2");
  header.insert(header.end(), kBehind.begin(), kBehind.end());
  std::map<std::string, std::vector<std::string>> rows;
  for (const auto& [stem, json] : done) {
    try {
      rows[stem] = Row(json, classes);
    } catch (const nlohmann::json::exception&) {
      core::LogWarning(fmt::format("{} is damaged: predictions.csv leaves it out",
                                   (folder / (stem + ".json")).string()));
    }
  }
  for (auto& [stem, row] : unmade) {
    row.resize(header.size());
    rows.insert({stem, row});
  }
  std::string text = core::CsvRow(header);
  for (const auto& [stem, row] : rows) text += core::CsvRow(row);
  core::WriteFileAtomic(path, text);
}

}  // namespace eosin::segment
