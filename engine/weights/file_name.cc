// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <algorithm>
#include <cctype>
#include <string_view>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "engine/weights/weights.h"

namespace eosin::engine {
namespace {

bool AllDigits(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

// resnet50, deeplabv3_resnet50_coco: as torchvision names what it publishes.
bool IsPublicName(std::string_view name) {
  constexpr std::string_view kTrunk = "resnet";
  return name.starts_with("deeplabv3_") ||
         (name.starts_with(kTrunk) && name != kTrunk && AllDigits(name.substr(kTrunk.size())));
}

}  // namespace

std::string HashInName(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  const size_t dash = stem.rfind('-');
  if (dash == stem.npos) return "";
  const std::string hash = stem.substr(dash + 1);
  const auto hex = [](unsigned char c) { return std::isdigit(c) != 0 || (c >= 'a' && c <= 'f'); };
  if (hash.size() < 8 || hash.size() > 64 || !std::all_of(hash.begin(), hash.end(), hex)) return "";
  // Digits alone are rarely a hash (1 of 43 of eight characters) and mostly a date or a number.
  if (AllDigits(hash)) {
    const bool date = hash.starts_with("19") || hash.starts_with("20");
    if (date || !IsPublicName(stem.substr(0, dash))) return "";
  }
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
