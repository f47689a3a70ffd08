// SPDX-License-Identifier: Apache-2.0
// ASAP's XML (github.com/computationalpathologygroup/ASAP): flat regions, each in a group.
//
// ASAP has no holes. People draw them as regions of another group on top, which is what such a
// group stays when it is read: give it the role `background` in the class map. What eosin writes
// keeps holes as holes: they stand in a group "<class> (hole)" that is declared as a part of the
// group
// "<class>" and are read back as holes of that class's regions, also after ASAP has saved the file.
// Should a class be called so itself, " (hole)" is added once more.
#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"
#include "tiling/annotations/holes.h"
#include "tiling/annotations/xml_reader.h"

namespace eosin::tiling {
namespace {

constexpr std::string_view kHole = " (hole)";
constexpr char kNone[] = "None";

bool IsHoleGroup(std::string_view group, std::string_view parent) {
  if (group.size() <= parent.size() || group.substr(0, parent.size()) != parent) return false;
  for (group.remove_prefix(parent.size()); !group.empty(); group.remove_prefix(kHole.size())) {
    if (group.substr(0, kHole.size()) != kHole) return false;
  }
  return true;
}

// Vertices by their Order; without Order as they stand.
Ring ReadCoordinates(XmlFile& xml, pugi::xml_node annotation) {
  struct Placed {
    double order;
    Vertex vertex;
  };
  std::vector<Placed> placed;
  for (const pugi::xml_node node : annotation.child("Coordinates").children("Coordinate")) {
    const double order =
        node.attribute("Order") ? xml.Number(node, "Order") : static_cast<double>(placed.size());
    if (!(order == order)) xml.Fail(node, "an Order that is not a number");
    placed.push_back({order, xml.Position(node)});
  }
  std::stable_sort(placed.begin(), placed.end(),
                   [](const Placed& a, const Placed& b) { return a.order < b.order; });
  Ring ring;
  ring.reserve(placed.size());
  for (const Placed& p : placed) ring.push_back(p.vertex);
  return ring;
}

void AppendRing(const std::string& name, const std::string& group, uint32_t color, bool continues,
                const Ring& ring, std::string& out) {
  out += fmt::format(
      "\t\t<Annotation Name=\"{}\" Type=\"Polygon\" PartOfGroup=\"{}\" Color=\"#{:06X}\"{}>\n"
      "\t\t\t<Coordinates>\n",
      XmlEscaped(name), XmlEscaped(group), color,
      continues ? fmt::format(" {}=\"1\"", kContinues) : "");
  for (size_t i = 0; i < ring.size(); ++i) {
    out += fmt::format("\t\t\t\t<Coordinate Order=\"{}\" X=\"{}\" Y=\"{}\" />\n", i, ring[i].x,
                       ring[i].y);
  }
  out += "\t\t\t</Coordinates>\n\t\t</Annotation>\n";
}

}  // namespace

AnnotationFile ParseAsap(XmlFile& xml) {
  std::map<std::string, std::string> parents;
  for (const pugi::xml_node group : xml.root().child("AnnotationGroups").children("Group")) {
    parents[xml.Text(group, "Name")] = xml.Text(group, "PartOfGroup");
  }
  AnnotationFile file;
  file.format = "asap";
  std::map<std::string, size_t> layers;  // by class
  std::vector<FlatRegion> regions;
  const std::set<std::string> areas = {"Polygon", "Rectangle", "Spline"};
  const std::set<std::string> others = {"None", "Dot", "PointSet", "Measurement", ""};
  for (const pugi::xml_node node : xml.root().child("Annotations").children("Annotation")) {
    const std::string type = xml.Text(node, "Type");
    if (others.count(type)) {
      ++file.skipped;
      continue;
    }
    if (!areas.count(type)) {
      xml.Fail(node, fmt::format("an annotation of unknown Type \"{}\"", type.substr(0, 60)));
    }
    FlatRegion region;
    region.place = xml.Place(node);
    region.name = xml.Text(node, "Name");
    region.class_of = xml.Text(node, "PartOfGroup");
    const auto parent = parents.find(region.class_of);
    if (parent != parents.end() && IsHoleGroup(region.class_of, parent->second)) {
      region.hole = true;
      region.class_of = parent->second;
    }
    if (region.class_of == kNone) region.class_of.clear();
    region.layer = layers.emplace(region.class_of, layers.size()).first->second;
    region.continues = xml.Text(node, kContinues) == "1";
    region.ring = ReadCoordinates(xml, node);
    if (type == "Rectangle") region.ring = RectangleOf(std::move(region.ring));
    regions.push_back(std::move(region));
  }
  file.annotations = JoinRegions(std::move(regions), xml.text(), file.skipped);
  return file;
}

std::string ToAsapXml(const std::vector<Annotation>& annotations) {
  // Classes in order of appearance, with the group of their holes ("" while there are none).
  std::vector<std::string> order;
  std::map<std::string, std::string> hole_groups;
  for (const Annotation& annotation : annotations) {
    if (annotation.polygons.empty()) continue;
    const std::string& name = annotation.class_of;
    if (name == kNone || IsHoleGroup(name, kNone)) {
      throw core::DataError(
          fmt::format("a class called \"{}\" cannot be written to ASAP's XML", name),
          "ASAP says None for regions without a class; rename the class");
    }
    if (hole_groups.emplace(name, "").second) order.push_back(name);
  }
  std::set<std::string> taken(order.begin(), order.end());
  for (const Annotation& annotation : annotations) {
    for (const Polygon& polygon : annotation.polygons) {
      std::string& group = hole_groups[annotation.class_of];
      if (polygon.holes.empty() || !group.empty()) continue;
      group = annotation.class_of.empty() ? kNone : annotation.class_of;
      do group += kHole;
      while (!taken.insert(group).second);
    }
  }
  std::string out = "<?xml version=\"1.0\"?>\n<ASAP_Annotations>\n\t<Annotations>\n";
  for (const Annotation& annotation : annotations) {
    const std::string group = annotation.class_of.empty() ? kNone : annotation.class_of;
    const uint32_t color = ClassColor(annotation.class_of);
    bool continues = false;
    for (const Polygon& polygon : annotation.polygons) {
      AppendRing(annotation.name, group, color, continues, polygon.outer, out);
      for (const Ring& hole : polygon.holes) {
        AppendRing(annotation.name, hole_groups[annotation.class_of], color, true, hole, out);
      }
      continues = true;
    }
  }
  out += "\t</Annotations>\n\t<AnnotationGroups>\n";
  const auto append_group = [&](const std::string& name, const std::string& parent,
                                const std::string& class_of) {
    out += fmt::format(
        "\t\t<Group Name=\"{}\" PartOfGroup=\"{}\" Color=\"#{:06X}\">\n\t\t\t<Attributes />\n"
        "\t\t</Group>\n",
        XmlEscaped(name), XmlEscaped(parent), ClassColor(class_of));
  };
  for (const std::string& name : order) {
    if (!name.empty()) append_group(name, kNone, name);
    const std::string& holes = hole_groups[name];
    if (!holes.empty()) append_group(holes, name.empty() ? kNone : name, name);
  }
  return out + "\t</AnnotationGroups>\n</ASAP_Annotations>\n";
}

}  // namespace eosin::tiling
