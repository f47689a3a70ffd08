// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/predicted_files.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "segment/predict/prediction_table.h"

namespace eosin::segment {
namespace {

namespace fs = std::filesystem;

constexpr std::array kExtensions = {".labels.tif", ".probabilities.tif", ".geojson",
                                    ".overlay.png"};
constexpr const char* kClaim = "outputs";

std::vector<std::string> Promise(bool probabilities, bool geojson, bool overlay) {
  std::vector<std::string> extensions = {".labels.tif"};
  if (probabilities) extensions.emplace_back(".probabilities.tif");
  if (geojson) extensions.emplace_back(".geojson");
  if (overlay) extensions.emplace_back(".overlay.png");
  return extensions;
}

bool Contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

PredictedFiles::PredictedFiles(fs::path folder, std::string stem, const PredictOptions& options)
    : folder_(std::move(folder)),
      stem_(std::move(stem)),
      promised_(Promise(options.probabilities, options.geojson, options.overlay)) {}

fs::path PredictedFiles::Path(const std::string& extension) const {
  return folder_ / (stem_ + extension);
}

bool PredictedFiles::Complete() const {
  return std::all_of(promised_.begin(), promised_.end(),
                     [this](const std::string& e) { return fs::exists(Path(e)); });
}

std::vector<std::string> PredictedFiles::Claimed() const {
  std::vector<std::string> extensions;
  if (!fs::exists(Bands() / kClaim)) return extensions;
  std::istringstream lines(core::ReadFile(Bands() / kClaim));
  for (std::string line; std::getline(lines, line);) extensions.push_back(line);
  return extensions;
}

void PredictedFiles::Claim() const {
  std::string text;
  for (const std::string& extension : promised_) text += extension + "\n";
  core::WriteFileAtomic(Bands() / kClaim, text);
}

void PredictedFiles::RefuseForeign() const {
  const std::vector<std::string> claimed = Claimed();
  for (const std::string& extension : promised_) {
    if (!fs::exists(Path(extension)) || Contains(claimed, extension)) continue;
    throw core::DataError(
        Path(extension).string() + " is there, and nothing says that eosin predict made it",
        "move it away, or give another --out; --overwrite replaces it");
  }
}

std::vector<fs::path> PredictedFiles::Replaced() const {
  std::vector<std::string> extensions = promised_;
  const std::vector<std::string> claimed = Claimed();
  extensions.insert(extensions.end(), claimed.begin(), claimed.end());
  if (const nlohmann::ordered_json json = ReadPrediction(Json()); !json.is_null()) {
    const auto flag = [&](const char* where) {
      const nlohmann::ordered_json::json_pointer pointer(where);
      return json.contains(pointer) && json.at(pointer) == true;
    };
    for (std::string& extension : Promise(flag("/settings/probabilities"), flag("/outputs/geojson"),
                                          flag("/outputs/overlay"))) {
      extensions.push_back(std::move(extension));
    }
  }
  std::vector<fs::path> files;
  for (const char* extension : kExtensions) {
    if (Contains(extensions, extension)) files.push_back(Path(extension));
    files.push_back(Path(std::string(extension) + ".part"));
  }
  files.push_back(Path(".json.part"));
  files.push_back(Json());
  return files;
}

bool IsPredictedFile(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const std::string extension : kExtensions) {
    if (!name.ends_with(extension)) continue;
    const fs::path stem = path.parent_path() / name.substr(0, name.size() - extension.size());
    if (fs::exists(stem.string() + ".part/" + kClaim) ||
        !ReadPrediction(stem.string() + ".json").is_null()) {
      return true;
    }
  }
  return false;
}

}  // namespace eosin::segment
