// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <algorithm>
#include <cctype>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "engine/weights/weights.h"

namespace eosin::engine {

std::string HashInName(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  const size_t dash = stem.rfind('-');
  if (dash == stem.npos) return "";
  const std::string hash = stem.substr(dash + 1);
  const auto hex = [](unsigned char c) { return std::isdigit(c) != 0 || (c >= 'a' && c <= 'f'); };
  if (hash.size() < 8 || hash.size() > 64 || !std::all_of(hash.begin(), hash.end(), hex)) return "";
  // 20240131 is a date.
  const bool digits =
      std::all_of(hash.begin(), hash.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  if (digits && hash.size() == 8 && (hash.starts_with("19") || hash.starts_with("20"))) return "";
  return hash;
}

void CheckHashInName(const std::filesystem::path& path) {
  const std::string wanted = HashInName(path);
  if (wanted.empty() || !std::filesystem::is_regular_file(path)) return;
  const std::string found = core::Sha256File(path);
  if (found.starts_with(wanted)) return;
  throw core::WeightsError(
      fmt::format("{}: its name says that its SHA-256 begins with {}, but it begins with {}",
                  path.string(), wanted, found.substr(0, wanted.size())),
      "the download is damaged, or it is another file: get it again; if the name is your own, "
      "rename the file");
}

}  // namespace eosin::engine
