// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/geojson_sink.h"

#include <fmt/format.h>
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace eosin::segment {
namespace {

std::vector<bool> Traced(const std::vector<ClassStyle>& classes) {
  std::vector<bool> traced(256);
  for (size_t i = 0; i < classes.size(); ++i) traced[i] = classes[i].outlined;
  return traced;
}

// Hundredths are far below a pixel; "12.50" is written 12.5 and "12.00" 12.
void AppendNumber(double value, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "{:.2f}", value);
  while (out->back() == '0') out->pop_back();
  if (out->back() == '.') out->pop_back();
  if (out->ends_with("-0") &&
      (out->size() == 2 || (*out)[out->size() - 3] == '[' || (*out)[out->size() - 3] == ',')) {
    out->erase(out->size() - 2, 1);
  }
}

}  // namespace

GeoJsonSink::GeoJsonSink(const std::filesystem::path& path, int64_t width,
                         const std::vector<ClassStyle>& classes, const GeoJsonOptions& options)
    : file_(path),
      out_(file_.part_path(), std::ios::binary),
      options_(options),
      tracer_(width, Traced(classes), [this](const TracedRegion& region) { Write(region); }) {
  for (const ClassStyle& style : classes) {
    properties_.push_back(fmt::format(
        R"("properties":{{"objectType":"annotation","classification":{{"name":{},"color":[{},{},{}]}}}})",
        nlohmann::json(style.name).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
        style.colour[0], style.colour[1], style.colour[2]));
  }
  out_ << R"({"type":"FeatureCollection","features":[)";
  CheckFile();
}

void GeoJsonSink::CheckFile() {
  if (out_) return;
  throw core::MachineError("cannot write " + file_.part_path().string(),
                           "check the free space and the rights of the folder");
}

void GeoJsonSink::Take(const Band& band) {
  for (int64_t y = 0; y < band.rows; ++y) tracer_.AddRow(band.labels.data() + y * band.width);
  CheckFile();
}

void GeoJsonSink::Write(const TracedRegion& region) {
  if (region.pixels < options_.min_pixels) return;
  const OutlinePolygon polygon = options_.exact ? ExactOutline(region) : SimplifiedOutline(region);
  text_ = features_++ > 0 ? ",\n" : "\n";
  text_ += R"({"type":"Feature","geometry":{"type":"Polygon","coordinates":[)";
  const auto append = [&](const Vertex2& v) {
    text_ += '[';
    AppendNumber(std::min(v.x * options_.downsample, options_.width) - options_.offset_x, &text_);
    text_ += ',';
    AppendNumber(std::min(v.y * options_.downsample, options_.height) - options_.offset_y, &text_);
    text_ += ']';
  };
  for (size_t i = 0; i < polygon.rings.size(); ++i) {
    text_ += i > 0 ? ",[" : "[";
    for (const Vertex2& v : polygon.rings[i]) {
      append(v);
      text_ += ',';
    }
    append(polygon.rings[i].front());
    text_ += ']';
  }
  text_ += "]},";
  text_ += properties_[region.label];
  text_ += '}';
  out_ << text_;
}

void GeoJsonSink::Finish() {
  tracer_.Finish();
  out_ << (features_ > 0 ? "\n]}\n" : "]}\n");
  out_.close();
  CheckFile();
  file_.Commit();
}

}  // namespace eosin::segment
