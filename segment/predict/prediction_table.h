// SPDX-License-Identifier: Apache-2.0
// What is known of predicted slides: <stem>.json, and predictions.csv made from all of them.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "segment/predict/predict_slides.h"

namespace eosin::segment {

// What <stem>.json holds; null when it is not there or something else.
nlohmann::ordered_json ReadPrediction(const std::filesystem::path& json);

std::string ResultJson(const PredictResult& result, const std::vector<std::string>& classes,
                       const nlohmann::ordered_json& settings,
                       const nlohmann::ordered_json& outputs);
// False also when the file is something else. Threads may differ: they change last digits, which
// must not within a slide, but nodes of any size may share a folder.
bool SameSettings(const std::filesystem::path& json, const nlohmann::ordered_json& settings,
                  const nlohmann::ordered_json& outputs);
void ReadResultJson(const std::filesystem::path& json, PredictResult* result);

// DataError when the folder holds results of another model than that of this hash.
void RefuseOtherModels(const std::filesystem::path& folder, const std::string& hash);

// predictions.csv anew, under a lock: a row a <stem>.json of the folder, with a column of mm2 for
// every class that occurs, and a row for each of `own` that failed, or that another process has,
// and that has none. Rows of slides that failed before, in any process, stay until they are done.
// A damaged <stem>.json is left out with a warning.
void WritePredictionTable(const std::filesystem::path& folder,
                          const std::vector<PredictResult>& own);

}  // namespace eosin::segment
