// SPDX-License-Identifier: Apache-2.0
// Aperio ImageScope's XML (ImageScope 12 user's guide; files as ImageScope saves them): layers
// (<Annotation>) of regions, holes marked NegativeROA.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "tiling/annotations/holes.h"
#include "tiling/annotations/xml_reader.h"

namespace eosin::tiling {
namespace {

// Types of regions; 3 arrow, 4 ruler, ...: no area.
constexpr double kFreehand = 0, kRectangle = 1, kEllipse = 2;

// An ellipse between two corners of its box, its chords within 1/20 px of the arc (up to 4096).
Ring EllipseOf(const Vertex& a, const Vertex& b) {
  const double cx = (a.x + b.x) / 2, cy = (a.y + b.y) / 2;
  const double rx = std::abs(b.x - a.x) / 2, ry = std::abs(b.y - a.y) / 2;
  if (rx == 0 || ry == 0) return {};
  const double radius = std::max(rx, ry);
  const double chords = std::numbers::pi / std::sqrt(2 * 0.05 / std::max(radius, 0.1));
  const int n = static_cast<int>(std::clamp(std::ceil(chords), 16.0, 4096.0));
  Ring ring;
  ring.reserve(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) {
    const double angle = 2 * std::numbers::pi * i / n;
    ring.push_back({cx + rx * std::cos(angle), cy + ry * std::sin(angle)});
  }
  return ring;
}

// The layer's Name; else what its description says; else the name of an attribute without a value
// (layers labelled by an attribute of their own).
std::string ClassOf(const XmlFile& xml, pugi::xml_node layer) {
  std::string name = xml.Text(layer, "Name");
  if (!name.empty()) return name;
  std::string label;
  for (const pugi::xml_node attribute : layer.child("Attributes").children("Attribute")) {
    const std::string key = xml.Text(attribute, "Name"), value = xml.Text(attribute, "Value");
    if (key == "Description" && !value.empty()) return value;
    if (key != "Description" && value.empty() && label.empty()) label = key;
  }
  return label;
}

void AppendRegion(int id, const std::string& name, bool negative, bool continues, const Ring& ring,
                  std::string& out) {
  out += fmt::format(
      "      <Region Id=\"{0}\" Type=\"0\" Zoom=\"1\" Selected=\"0\" Text=\"{1}\" "
      "NegativeROA=\"{2}\" InputRegionId=\"0\" Analyze=\"{3}\" DisplayId=\"{0}\"{4}>\n"
      "        <Attributes/>\n        <Vertices>\n",
      id, XmlEscaped(name), negative ? 1 : 0, negative ? 0 : 1,
      continues ? fmt::format(" {}=\"1\"", kContinues) : "");
  for (const Vertex& v : ring) {
    out += fmt::format("          <Vertex X=\"{}\" Y=\"{}\" Z=\"0\"/>\n", v.x, v.y);
  }
  out += "        </Vertices>\n      </Region>\n";
}

}  // namespace

AnnotationFile ParseImageScope(XmlFile& xml) {
  AnnotationFile file;
  file.format = "imagescope";
  std::vector<FlatRegion> regions;
  size_t layer_number = 0;
  for (const pugi::xml_node layer : xml.root().children("Annotation")) {
    ++layer_number;
    const std::string class_of = ClassOf(xml, layer);
    for (const pugi::xml_node node : layer.child("Regions").children("Region")) {
      const double type = node.attribute("Type") ? xml.Number(node, "Type") : 0;
      if (type != kFreehand && type != kRectangle && type != kEllipse) {
        ++file.skipped;
        continue;
      }
      FlatRegion region;
      region.place = xml.Place(node);
      region.name = xml.Text(node, "Text");
      region.class_of = class_of;
      region.layer = layer_number;
      region.hole = xml.Text(node, "NegativeROA") == "1";
      region.continues = xml.Text(node, kContinues) == "1";
      for (const pugi::xml_node vertex : node.child("Vertices").children("Vertex")) {
        region.ring.push_back(xml.Position(vertex));
      }
      if (type == kRectangle) region.ring = RectangleOf(std::move(region.ring));
      if (type == kEllipse && region.ring.size() == 2) {
        region.ring = EllipseOf(region.ring[0], region.ring[1]);
        xml.text().CountVertices(static_cast<int64_t>(region.ring.size()), region.place);
      }
      regions.push_back(std::move(region));
    }
  }
  file.annotations = JoinRegions(std::move(regions), xml.text(), file.skipped);
  return file;
}

std::string ToImageScopeXml(const std::vector<Annotation>& annotations) {
  std::string out = "<Annotations>\n";
  int layer = 0, id = 0;
  const Annotation* last = nullptr;
  for (const Annotation& annotation : annotations) {
    if (annotation.polygons.empty()) continue;
    // A layer a run of one class, so that the order of drawing stays.
    if (!last || last->class_of != annotation.class_of) {
      if (last) out += "    </Regions>\n  </Annotation>\n";
      const uint32_t color = ClassColor(annotation.class_of);
      const uint32_t bgr = (color & 0xFF) << 16 | (color & 0xFF00) | color >> 16;
      out += fmt::format(
          "  <Annotation Id=\"{}\" Name=\"{}\" ReadOnly=\"0\" NameReadOnly=\"0\" "
          "LineColorReadOnly=\"0\" Incremental=\"0\" Type=\"4\" LineColor=\"{}\" Visible=\"1\" "
          "Selected=\"0\" MarkupImagePath=\"\" MacroName=\"\">\n    <Attributes/>\n    <Regions>\n",
          ++layer, XmlEscaped(annotation.class_of), bgr);
      id = 0;
    }
    last = &annotation;
    bool continues = false;
    for (const Polygon& polygon : annotation.polygons) {
      AppendRegion(++id, annotation.name, false, continues, polygon.outer, out);
      for (const Ring& hole : polygon.holes) {
        AppendRegion(++id, annotation.name, true, true, hole, out);
      }
      continues = true;
    }
  }
  if (last) out += "    </Regions>\n  </Annotation>\n";
  return out + "</Annotations>\n";
}

}  // namespace eosin::tiling
