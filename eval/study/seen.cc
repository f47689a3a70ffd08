// SPDX-License-Identifier: Apache-2.0
#include "eval/study/seen.h"

#include <fmt/format.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/base/files.h"

namespace eosin::eval {
namespace {

namespace fs = std::filesystem;

bool SameFolder(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) && !error;
}

}  // namespace

std::string SeenInPretraining(const std::string& name, const std::string& source,
                              const EvalOptions& options) {
  const fs::path file = fs::path(source).parent_path() / "provenance.json";
  if (!fs::is_regular_file(file)) return "";
  const auto json = nlohmann::json::parse(core::ReadFile(file), nullptr, false);
  if (!json.is_object() || !json.contains("processes") || !json["processes"].is_array() ||
      json["processes"].empty()) {
    return "";
  }
  const nlohmann::json& process = json["processes"].back();
  const auto fact = [&](const char* key) -> std::string {
    return process.contains(key) && process[key].is_string() ? process[key] : "";
  };
  const std::string data = fact("data"), split = fact("data_split");
  const fs::path tested = options.test.empty() ? options.data : options.test;
  if (data.empty() || !SameFolder(data, tested)) return "";
  if (options.test.empty() && !split.empty() && split != "test") return "";
  return fmt::format(
      "{} was pretrained on {}, the images it is tested on included (without their labels): its "
      "scores say less about new slides. Give index.csv a column `split` and pretrain with --set "
      "data.split=train.",
      name, tested.string());
}

}  // namespace eosin::eval
