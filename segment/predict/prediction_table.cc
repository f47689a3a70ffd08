// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/prediction_table.h"

#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/lock.h"
#include "core/formats/csv.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "eosin-prediction";

// Null when the file is no result.
Json ReadJson(const fs::path& path) {
  try {
    Json json = Json::parse(core::ReadFile(path));
    if (json.is_object() && json.value("format", "") == kFormat) return json;
  } catch (const nlohmann::json::exception&) {
  } catch (const core::DataError&) {
  }
  return nullptr;
}

}  // namespace

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
                     {"tissue_mm2", result.tissue_mm2},
                     {"class_mm2", areas},
                     {"features", result.features},
                     {"bad_blocks", result.pipeline.bad_blocks},
                     {"warnings", result.warnings},
                     {"windows", result.pipeline.windows},
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
  const Json json = ReadJson(path);
  return !json.is_null() && json.contains("settings") && json.contains("outputs") &&
         json.at("settings") == settings && json.at("outputs") == outputs;
}

void ReadResultJson(const fs::path& path, PredictResult* result) {
  const Json json = ReadJson(path);
  try {
    result->mpp = json.at("mpp");
    result->width = json.at("width");
    result->height = json.at("height");
    result->tissue_mm2 = json.at("tissue_mm2");
    result->features = json.at("features");
    for (const auto& [name, area] : json.at("class_mm2").items()) {
      result->class_mm2.push_back(area.get<double>());
    }
  } catch (const nlohmann::json::exception&) {
    throw core::DataError(path.string() + " is damaged", "pass --overwrite to make it again");
  }
}

void WritePredictionTable(const fs::path& folder, const std::vector<PredictResult>& own) {
  const auto lock = core::FileLock::Wait(folder / ".predictions.csv.lock");
  std::map<std::string, Json> done;
  std::vector<std::string> classes;
  for (const fs::path& path : core::ListFiles(folder, {".json"}, false)) {
    Json json = ReadJson(path);
    if (json.is_null()) continue;
    for (const auto& [name, area] : json.at("class_mm2").items()) {
      if (std::find(classes.begin(), classes.end(), name) == classes.end()) {
        classes.push_back(name);
      }
    }
    done[path.stem().string()] = std::move(json);
  }
  std::map<std::string, std::vector<std::string>> rows;
  std::vector<std::string> header = {"slide", "status", "reason",    "mpp",
                                     "width", "height", "tissue_mm2"};
  for (const std::string& name : classes) header.push_back(name + "_mm2");
  for (const char* name :
       {"polygons", "windows", "seconds", "seconds_network", "seconds_decode_cpu", "seconds_feed",
        "seconds_blend", "seconds_write"}) {
    header.push_back(name);
  }
  const auto number = [](const Json& value) {
    return value.is_number_integer() ? fmt::format("{}", value.get<int64_t>())
                                     : fmt::format("{:.6g}", value.get<double>());
  };
  for (const auto& [stem, json] : done) {
    std::vector<std::string> row = {json.at("slide").get<std::string>(),
                                    "done",
                                    "",
                                    number(json.at("mpp")),
                                    number(json.at("width")),
                                    number(json.at("height")),
                                    number(json.at("tissue_mm2"))};
    if (!json.at("warnings").empty()) row[2] = json.at("warnings").back().get<std::string>();
    const Json& areas = json.at("class_mm2");
    for (const std::string& name : classes) {
      row.push_back(areas.contains(name) ? number(areas.at(name)) : "");
    }
    const Json& seconds = json.at("seconds");
    row.push_back(number(json.at("features")));
    row.push_back(number(json.at("windows")));
    for (const char* name : {"wall", "network", "decode_cpu", "feed", "blend", "write"}) {
      row.push_back(number(seconds.at(name)));
    }
    rows[stem] = std::move(row);
  }
  for (const PredictResult& result : own) {
    if (result.status != "failed" || rows.contains(result.stem)) continue;
    std::vector<std::string> row(header.size());
    row[0] = result.slide.filename().string();
    row[1] = result.status;
    row[2] = result.reason;
    rows[result.stem] = std::move(row);
  }
  std::string text = core::CsvRow(header);
  for (const auto& [stem, row] : rows) text += core::CsvRow(row);
  core::WriteFileAtomic(folder / "predictions.csv", text);
}

}  // namespace eosin::segment
