// SPDX-License-Identifier: Apache-2.0
#include "tiling/settings.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace eosin::tiling {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHint = "the store is damaged, or of another version of eosin";

StoredSettings Parse(const Json& json) {
  StoredSettings stored;
  TileOptions& options = stored.options;
  const auto get = [](const Json& from, const char* key, auto* to) {
    const auto found = from.find(key);
    if (found != from.end()) found->get_to(*to);
  };
  get(json, "mpp", &options.mpp);
  get(json, "align", &options.align);
  get(json, "size", &options.size);
  get(json, "stride", &options.stride);
  get(json, "tissue", &options.tissue);
  get(json, "mask_sha256", &stored.mask_hash);
  get(json, "tissue_mpp", &options.tissue_settings.overview_mpp);
  get(json, "min_tissue_um2", &options.tissue_settings.min_tissue_um2);
  get(json, "min_hole_um2", &options.tissue_settings.min_hole_um2);
  get(json, "remove_pen", &options.tissue_settings.remove_pen);
  get(json, "min_tissue", &options.min_tissue);
  get(json, "roi", &options.roi);
  get(json, "annotation_sha256", &stored.annotation_hash);
  get(json, "classes", &options.classes);
  get(json, "encoding", &options.encoding);
  get(json, "jpeg_quality", &options.jpeg_quality);
  get(json, "quality", &options.quality);
  get(json, "stain", &options.stain);
  if (const auto reject = json.find("reject"); reject != json.end()) {
    get(*reject, "blur", &options.limits.blur);
    get(*reject, "pen", &options.limits.pen);
    get(*reject, "white", &options.limits.white);
    get(*reject, "black", &options.limits.black);
    get(*reject, "fold", &options.limits.fold);
  }
  get(json, "mpp_override", &options.mpp_override);
  get(json, "allow_upsample", &options.allow_upsample);
  if (const auto of_slide = json.find("class"); of_slide != json.end()) {
    get(*of_slide, "name", &stored.facts.class_name);
    get(*of_slide, "id", &stored.facts.class_id);
  }
  get(json, "patient", &stored.facts.patient);
  return stored;
}

}  // namespace

StoredSettings FromSettings(const std::string& settings) {
  StoredSettings stored;
  try {
    const Json json = Json::parse(settings);
    if (!json.is_object()) throw core::StoreError("settings is no JSON object", kHint);
    stored = Parse(json);
  } catch (const Json::exception& error) {
    throw core::StoreError(fmt::format("settings cannot be read: {}", error.what()), kHint);
  }
  try {
    stored.options.Check();
  } catch (const core::ConfigError& error) {
    throw core::StoreError(fmt::format("settings are not possible: {}", error.what()), kHint);
  }
  // What was not understood, or says what no options say, does not come back.
  const std::string again =
      stored.options.Settings(stored.mask_hash, stored.annotation_hash, stored.facts);
  if (again != settings) {
    throw core::StoreError(
        fmt::format("settings are not as eosin writes them: {}, which means {}", settings, again),
        kHint);
  }
  return stored;
}

}  // namespace eosin::tiling
