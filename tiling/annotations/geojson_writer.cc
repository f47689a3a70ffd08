// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tiling/annotations/annotation_text.h"

namespace eosin::tiling {
namespace {

std::string Hundredths(double value) {
  std::string digits = fmt::format("{:.2f}", value);
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return digits == "-0" ? "0" : digits;
}

void AppendRing(const Ring& ring, Vertex offset, std::string& out) {
  out += '[';
  for (size_t i = 0; i <= ring.size() && !ring.empty(); ++i) {
    const Vertex& v = ring[i % ring.size()];  // GeoJSON repeats the first
    if (i > 0) out += ", ";
    out += "[" + Hundredths(v.x - offset.x) + ", " + Hundredths(v.y - offset.y) + "]";
  }
  out += ']';
}

void AppendPolygon(const Polygon& polygon, Vertex offset, std::string& out) {
  out += '[';
  AppendRing(polygon.outer, offset, out);
  for (const Ring& hole : polygon.holes) {
    out += ", ";
    AppendRing(hole, offset, out);
  }
  out += ']';
}

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string ToGeoJson(const std::vector<Annotation>& annotations, Vertex offset) {
  std::string out = "{\"type\": \"FeatureCollection\", \"features\": [";
  bool first = true;
  for (const Annotation& annotation : annotations) {
    if (annotation.polygons.empty()) continue;
    out += first ? "\n" : ",\n";
    first = false;
    const bool multi = annotation.polygons.size() > 1;
    out +=
        fmt::format("{{\"type\": \"Feature\", \"geometry\": {{\"type\": \"{}\", \"coordinates\": ",
                    multi ? "MultiPolygon" : "Polygon");
    if (multi) out += '[';
    for (size_t i = 0; i < annotation.polygons.size(); ++i) {
      if (i > 0) out += ", ";
      AppendPolygon(annotation.polygons[i], offset, out);
    }
    if (multi) out += ']';
    out += "}, \"properties\": {\"objectType\": \"annotation\"";
    if (!annotation.name.empty()) out += ", \"name\": " + Quoted(annotation.name);
    if (!annotation.class_of.empty()) {
      const uint32_t color = ClassColor(annotation.class_of);
      out += fmt::format(", \"classification\": {{\"name\": {}, \"color\": [{}, {}, {}]}}",
                         Quoted(annotation.class_of), color >> 16, color >> 8 & 255, color & 255);
    }
    out += "}}";
  }
  return out + (first ? "]}\n" : "\n]}\n");
}

}  // namespace eosin::tiling
