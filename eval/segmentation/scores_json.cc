// SPDX-License-Identifier: Apache-2.0
#include "eval/segmentation/scores_json.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace eosin::eval {
namespace {

using Json = nlohmann::ordered_json;

// Calls visit(name, field) for every number of a record; the order is that of the file.
template <typename Surface, typename Visit>
void EachOfSurface(Surface& s, Visit&& visit) {
  visit("truth", s.truth);
  visit("predicted", s.predicted);
  visit("truth_found", s.truth_found);
  visit("predicted_right", s.predicted_right);
  visit("measured", s.measured);
  visit("truth_measured", s.truth_measured);
  visit("predicted_measured", s.predicted_measured);
  visit("truth_distance", s.truth_distance);
  visit("predicted_distance", s.predicted_distance);
  visit("hd95", s.hd95);
  visit("missed", s.missed);
  visit("spurious", s.spurious);
}

template <typename Objects, typename Visit>
void EachOfObjects(Objects& o, Visit&& visit) {
  visit("truth", o.truth);
  visit("predicted", o.predicted);
  visit("truth_area", o.truth_area);
  visit("predicted_area", o.predicted_area);
  visit("right", o.right);
  visit("found", o.found);
  visit("truth_dice", o.truth_dice);
  visit("predicted_dice", o.predicted_dice);
  visit("truth_hausdorff", o.truth_hausdorff);
  visit("predicted_hausdorff", o.predicted_hausdorff);
  visit("truth_hausdorff_area", o.truth_hausdorff_area);
  visit("predicted_hausdorff_area", o.predicted_hausdorff_area);
  visit("aji_intersection", o.aji_intersection);
  visit("aji_union", o.aji_union);
  visit("matched", o.matched);
  visit("matched_iou", o.matched_iou);
  visit("missed", o.missed);
  visit("spurious", o.spurious);
}

bool IsEmpty(const ClassDetail& detail) {
  bool empty = true;
  const auto look = [&](const char*, const auto& value) { empty = empty && value == 0; };
  EachOfSurface(detail.surface, look);
  EachOfObjects(detail.objects, look);
  return empty;
}

}  // namespace

Json ScoresToJson(const std::vector<ImageScores>& images) {
  Json out = Json::array();
  for (const ImageScores& image : images) {
    Json rows = Json::array();
    for (int t = 0; t < image.counts.classes(); ++t) {
      Json row = Json::array();
      for (int p = 0; p < image.counts.classes(); ++p) row.push_back(image.counts.count(t, p));
      rows.push_back(std::move(row));
    }
    Json entry = {{"name", image.name}, {"patient", image.patient}};
    if (!image.slide.empty()) entry["slide"] = image.slide;
    entry["confusion"] = std::move(rows);
    if (!image.detail.empty()) {
      Json surface = Json::array(), objects = Json::array();
      for (const ClassDetail& detail : image.detail) {
        if (IsEmpty(detail)) {  // background, or absent
          surface.push_back(nullptr);
          objects.push_back(nullptr);
          continue;
        }
        Json s, o;
        EachOfSurface(detail.surface, [&](const char* name, const auto& v) { s[name] = v; });
        EachOfObjects(detail.objects, [&](const char* name, const auto& v) { o[name] = v; });
        surface.push_back(std::move(s));
        objects.push_back(std::move(o));
      }
      entry["boundary"] = std::move(surface);
      entry["objects"] = std::move(objects);
    }
    out.push_back(std::move(entry));
  }
  return out;
}

std::vector<ImageScores> ScoresFromJson(const Json& json, int classes) {
  std::vector<ImageScores> images;
  const auto count = static_cast<size_t>(classes);
  const auto check = [&](const Json& list) {
    if (!list.is_array() || list.size() != count) {
      throw core::DataError("scores are of another number of classes than the file names",
                            "delete the file: the run is then made again");
    }
  };
  for (const Json& entry : json) {
    ConfusionMatrix counts(classes);
    const Json& rows = entry.at("confusion");
    check(rows);
    for (size_t t = 0; t < count; ++t) {
      check(rows.at(t));
      for (size_t p = 0; p < count; ++p) {
        counts.AddCount(static_cast<int>(t), static_cast<int>(p), rows.at(t).at(p));
      }
    }
    ImageScores image{entry.at("name"), entry.at("patient"), counts, "", {}};
    image.slide = entry.value("slide", "");
    if (entry.contains("boundary")) {
      const Json& surface = entry.at("boundary");
      const Json& objects = entry.at("objects");
      check(surface);
      check(objects);
      image.detail.resize(count);
      for (size_t c = 0; c < count; ++c) {
        const Json& s = surface.at(c);
        const Json& o = objects.at(c);
        if (s.is_null()) continue;
        EachOfSurface(image.detail[c].surface,
                      [&](const char* name, auto& v) { s.at(name).get_to(v); });
        EachOfObjects(image.detail[c].objects,
                      [&](const char* name, auto& v) { o.at(name).get_to(v); });
      }
    }
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace eosin::eval
