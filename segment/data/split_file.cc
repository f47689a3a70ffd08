// SPDX-License-Identifier: Apache-2.0
#include "segment/data/split_file.h"

#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/error.h"
#include "core/base/files.h"

namespace eosin::segment {
namespace {

using core::DataError;
using Json = nlohmann::ordered_json;

constexpr const char* kParts[] = {"train", "val", "test"};

std::string Text(const Json& entry, const char* key) {
  return entry.contains(key) && entry[key].is_string() ? entry[key].get<std::string>() : "";
}

Json Parse(const std::filesystem::path& path) {
  const Json root = Json::parse(core::ReadFile(path), nullptr, false);
  if (root.is_discarded() || !root.is_object() || Text(root, "format") != "eosin-split") {
    throw DataError(fmt::format("{} is no split of eosin", path.string()),
                    "give the split.json of a study or of eosin segment");
  }
  return root;
}

std::map<std::string, size_t> ByName(const std::vector<MaskItem>& items) {
  std::map<std::string, size_t> by_name;
  for (size_t i = 0; i < items.size(); ++i) by_name[items[i].name] = i;
  return by_name;
}

// Calls visit(part, entry, index) for every image of the file.
template <typename Visit>
void ForEachImage(const std::filesystem::path& path, const std::vector<MaskItem>& items,
                  Visit&& visit) {
  const Json root = Parse(path);
  const auto by_name = ByName(items);
  for (const char* part : kParts) {
    const Json* images = root.contains(part) && root[part].is_object() &&
                                 root[part].contains("images") && root[part]["images"].is_array()
                             ? &root[part]["images"]
                             : nullptr;
    if (!images) {
      throw DataError(fmt::format("{} has no images for {}", path.string(), part),
                      "a split names images for train, val and test");
    }
    for (const Json& entry : *images) {
      const std::string name =
          entry.is_object() && entry.contains("name") && entry["name"].is_string()
              ? entry["name"].get<std::string>()
              : "";
      const auto found = by_name.find(name);
      if (found == by_name.end()) {
        throw DataError(
            fmt::format("{} names the image \"{}\", which is not there", path.string(), name),
            "use the images that the split was made for");
      }
      visit(std::string(part), entry, found->second);
    }
  }
}

}  // namespace

std::string SplitToJson(const std::vector<MaskItem>& items,
                        const std::vector<MaskDataset::Hashes>& hashes, const ImageSplit& split,
                        const SplitOptions& options) {
  auto part = [&](const std::vector<int64_t>& indices) {
    Json images = Json::array();
    for (const int64_t i : indices) {
      const auto at = static_cast<size_t>(i);
      images.push_back({{"name", items[at].name},
                        {"patient", items[at].patient},
                        {"image_sha256", hashes[at].image},
                        {"mask_sha256", hashes[at].mask}});
    }
    return Json{{"patients", PatientsOf(items, indices)}, {"images", images}};
  };
  const Json root = {{"format", "eosin-split"},    {"version", 1},
                     {"split_seed", options.seed}, {"val_share", options.val},
                     {"test_share", options.test}, {"train", part(split.train)},
                     {"val", part(split.val)},     {"test", part(split.test)}};
  return root.dump(1) + "\n";
}

ImageSplit ReadSplit(const std::filesystem::path& path, const std::vector<MaskItem>& items) {
  ImageSplit split;
  std::set<size_t> seen;
  ForEachImage(path, items, [&](const std::string& part, const Json& entry, size_t i) {
    if (!seen.insert(i).second) {
      throw DataError(fmt::format("{} names the image {} twice", path.string(), items[i].name),
                      "an image is in one part");
    }
    const std::string patient = Text(entry, "patient");
    if (!patient.empty() && patient != items[i].patient) {
      throw DataError(fmt::format("{} gives image {} to patient {}, the data to patient {}",
                                  path.string(), items[i].name, patient, items[i].patient),
                      "correct patient_id in the table of patients, or use the split's own data");
    }
    auto& indices = part == "train" ? split.train : part == "val" ? split.val : split.test;
    indices.push_back(static_cast<int64_t>(i));
  });
  for (auto* part : {&split.train, &split.val, &split.test}) {
    std::sort(part->begin(), part->end());
    if (part->empty()) {
      throw DataError(fmt::format("{} leaves train, val or test empty", path.string()),
                      "each part needs an image");
    }
  }
  return split;
}

void VerifySplit(const std::filesystem::path& path, const std::vector<MaskItem>& items,
                 const std::vector<MaskDataset::Hashes>& hashes) {
  ForEachImage(path, items, [&](const std::string&, const Json& entry, size_t i) {
    for (const bool mask : {false, true}) {
      const std::string stored = Text(entry, mask ? "mask_sha256" : "image_sha256");
      const std::string& now = mask ? hashes[i].mask : hashes[i].image;
      if (stored.empty() || stored == now) continue;
      throw DataError(fmt::format("{} has changed since {} was written",
                                  (mask ? items[i].mask : items[i].image).string(), path.string()),
                      "put the old file back; changed images need a new split, in another --out");
    }
  });
}

}  // namespace eosin::segment
