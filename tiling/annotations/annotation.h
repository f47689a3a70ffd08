// SPDX-License-Identifier: Apache-2.0
// Regions that people drew on a slide, from the three formats in use: QuPath GeoJSON, ASAP XML and
// Aperio ImageScope XML. Coordinates are level-0 pixels (double), origin at the slide's upper left
// corner, not at its bounds. No file can make the reader allocate more than its size allows, no XML
// entity is expanded, nothing is executed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace eosin::tiling {

struct Vertex {
  double x = 0, y = 0;
  bool operator==(const Vertex&) const = default;
};
using Ring = std::vector<Vertex>;  // closed by itself: the first vertex is not repeated

struct Polygon {
  Ring outer;
  std::vector<Ring> holes;
  bool operator==(const Polygon&) const = default;
};

struct Annotation {
  std::string name;      // may be empty
  std::string class_of;  // class name; empty when unclassified
  std::vector<Polygon> polygons;
  bool operator==(const Annotation&) const = default;
};

struct AnnotationFile {
  std::string format;  // "geojson", "asap", "imagescope"
  std::vector<Annotation> annotations;
  int64_t skipped = 0;  // points, lines, empty shapes: no area
};

// By content, not by name. DataError with the line or byte where a file is broken; files over
// 512 MB, over 50 million vertices or nested deeper than 32 are refused.
AnnotationFile ReadAnnotations(const std::filesystem::path& path);
AnnotationFile ParseAnnotations(std::string_view text, const std::string& source);

// offset: subtracted from each vertex (QuPath crops MRXS and SCN to their bounds). FeatureCollection
// as QuPath imports it, coordinates to 1/100 px.
std::string ToGeoJson(const std::vector<Annotation>& annotations, Vertex offset = {});
std::string ToAsapXml(const std::vector<Annotation>& annotations);        // holes: see the .cc
std::string ToImageScopeXml(const std::vector<Annotation>& annotations);  // holes: NegativeROA

}  // namespace eosin::tiling
