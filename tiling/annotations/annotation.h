// SPDX-License-Identifier: Apache-2.0
// Regions that people drew on a slide, from the three formats in use: QuPath GeoJSON, ASAP XML and
// Aperio ImageScope XML. Coordinates are level-0 pixels (double), origin at the slide's upper left
// corner, not at its bounds. No file can make the reader allocate more than a small multiple of its
// size, no XML entity but the five of XML itself is expanded, nothing is fetched or executed.
//
// What is read of each format:
//   GeoJSON     FeatureCollection, Feature, geometry, or an array of them; Polygon, MultiPolygon,
//               GeometryCollection. Class: properties.classification ({"name"}, {"names"} joined by
//               ": ", or a string). properties.childObjects (QuPath's hierarchy export) follow
//               their parent. NaN and Infinity, which QuPath writes among measurements, are passed
//               over there and refused in coordinates.
//   ASAP        Polygon, Rectangle, Spline (its points, as ASAP's own masks take it). Class:
//               PartOfGroup; "None" is no class. Holes: asap_xml.cc.
//   ImageScope  Region Type 0 (freehand), 1 (rectangle), 2 (ellipse: to 1/20 px). Class: the
//   layer's
//               Name, else its Description attribute's value, else an attribute's name without a
//               value. NegativeROA regions are holes of every region of their layer they lie in.
// Text is UTF-8 with or without a mark, UTF-16 (ImageScope), or XML that declares ISO-8859-1.
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

// The area inside `outer` (even-odd) and outside every hole (even-odd each).
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
  int64_t skipped = 0;  // points, lines, rings under 3 vertices, holes in nothing: no area
};

struct AnnotationLimits {
  uint64_t bytes = uint64_t{512} << 20;
  int64_t vertices = 50'000'000;  // a hole that many regions share counts in each
  int depth = 32;                 // nesting of JSON values or XML elements
};

// By content, not by name. DataError with the line or byte where a file is broken or beyond the
// limits, or a coordinate is not a number of at most 2^40.
AnnotationFile ReadAnnotations(const std::filesystem::path& path,
                               const AnnotationLimits& limits = {});
// `source` names the text in messages.
AnnotationFile ParseAnnotations(std::string_view text, const std::string& source,
                                const AnnotationLimits& limits = {});

// Annotations without a polygon are left out. Names must be UTF-8; what XML cannot hold (control
// characters) becomes U+FFFD there.
// offset: subtracted from each vertex (QuPath crops MRXS and SCN to their bounds).
// FeatureCollection as QuPath imports it, coordinates to 1/100 px.
std::string ToGeoJson(const std::vector<Annotation>& annotations, Vertex offset = {});
// Coordinates to the last bit. DataError: a class called "None", ASAP's word for no class.
std::string ToAsapXml(const std::vector<Annotation>& annotations);        // holes: see the .cc
std::string ToImageScopeXml(const std::vector<Annotation>& annotations);  // holes: NegativeROA

}  // namespace eosin::tiling
