// SPDX-License-Identifier: Apache-2.0
// ImageScores as JSON text, exactly: whole numbers, and doubles that read back bit for bit. Also
// reads what earlier versions wrote, pixel counts without detail. Torch-free.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "eval/segmentation/image_scores.h"

namespace eosin::eval {

nlohmann::ordered_json ScoresToJson(const std::vector<ImageScores>& images);
// Throws DataError (or nlohmann::json::exception) on anything that is no such list.
std::vector<ImageScores> ScoresFromJson(const nlohmann::ordered_json& json, int classes);

}  // namespace eosin::eval
