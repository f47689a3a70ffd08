// SPDX-License-Identifier: Apache-2.0
// GeoJSON (RFC 7946) as QuPath writes and reads it: read as a stream of events, so memory follows
// the vertices and not the text's nesting.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tiling/annotations/annotation_text.h"

namespace eosin::tiling {
namespace {

constexpr char kHint[] = "export it again as GeoJSON (QuPath: File > Export objects as GeoJSON)";

// Feeds the parser and remembers how far it read, for messages.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  const char& operator*() const { return *at_; }
  TrackedIterator& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  TrackedIterator operator++(int) {
    TrackedIterator old = *this;
    ++*this;
    return old;
  }
  bool operator==(const TrackedIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TrackedIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** seen_;
};

// QuPath writes NaN and Infinity, which JSON lacks. Each becomes an empty string padded to the same
// length: harmless among measurements, refused as a coordinate. Returns whether any was there.
bool HideNotFinite(std::string_view text, std::string& copy) {
  if (text.find("NaN") == std::string_view::npos &&
      text.find("Infinity") == std::string_view::npos) {
    return false;
  }
  copy = text;
  bool in_string = false;
  for (size_t i = 0; i < copy.size(); ++i) {
    if (in_string) {
      if (copy[i] == '\\')
        ++i;
      else if (copy[i] == '"')
        in_string = false;
      continue;
    }
    if (copy[i] == '"') in_string = true;
    size_t length = 0;
    if (copy.compare(i, 3, "NaN") == 0) length = 3;
    if (copy.compare(i, 8, "Infinity") == 0) length = 8;
    if (copy.compare(i, 9, "-Infinity") == 0) length = 9;
    if (length == 0) continue;
    copy.replace(i, length, "\"\"" + std::string(length - 2, ' '));
    i += length - 1;
  }
  return true;
}

enum class Key {
  kOther,
  kType,
  kFeatures,
  kGeometry,
  kGeometries,
  kCoordinates,
  kProperties,
  kName,
  kClassification,
  kNames,
  kChildren
};

Key KeyOf(const std::string& name) {
  static const std::pair<std::string_view, Key> kKeys[] = {
      {"type", Key::kType},
      {"features", Key::kFeatures},
      {"geometry", Key::kGeometry},
      {"geometries", Key::kGeometries},
      {"name", Key::kName},
      {"coordinates", Key::kCoordinates},
      {"names", Key::kNames},
      {"properties", Key::kProperties},
      {"childObjects", Key::kChildren},
      {"classification", Key::kClassification}};
  for (const auto& [text, key] : kKeys) {
    if (name == text) return key;
  }
  return Key::kOther;
}

// Where the parser is: one a nesting level.
struct Frame {
  enum Where { kShape, kShapes, kCoordinates, kProperties, kClassification, kNames, kSkip };
  Where where = kSkip;
  Key key = Key::kOther;    // of the member being read
  bool geometries = false;  // kShapes: parts of a GeometryCollection
  int depth = 0;            // kCoordinates: 1 outermost
  int numbers = 0;          // kCoordinates: numbers read; a position has them, a list has not
  bool nested = false;
  Vertex position;
};

// A GeoJSON object: feature, collection or geometry, whose "type" may come last.
struct Shape {
  enum Role { kRoot, kFeature, kGeometry };
  Role role = kRoot;
  size_t at = 0;     // place in the text
  size_t order = 0;  // parents before their children
  std::string type;
  uint32_t seen = 0;  // keys read, one bit each
  Annotation annotation;
  int64_t skipped = 0;
  // Coordinates as they come: vertices, and where a list of lists ended at which depth.
  struct Close {
    int depth;
    size_t vertices;
  };
  std::vector<Vertex> vertices;
  std::vector<Close> closes;
  int position_depth = 0;
};

class GeoJsonReader {
 public:
  GeoJsonReader(AnnotationText& text, const char* begin)
      : text_(text), begin_(begin), seen_(begin) {}

  const char** seen() { return &seen_; }

  AnnotationFile Take() {
    std::sort(found_.begin(), found_.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    AnnotationFile file;
    file.format = "geojson";
    file.skipped = skipped_;
    for (auto& [order, annotation] : found_) file.annotations.push_back(std::move(annotation));
    return file;
  }

  // The parser's events.
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  bool null() { return Scalar(nullptr, true); }
  bool boolean(bool) { return Scalar(nullptr, false); }
  bool number_integer(number_integer_t value) { return Number(static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) { return Number(static_cast<double>(value)); }
  bool number_float(double value, const std::string&) { return Number(value); }
  bool string(std::string& value) { return Scalar(&value, false); }
  bool binary(nlohmann::json::binary_t&) { return true; }

  bool key(std::string& name) {
    Frame& frame = frames_.back();
    frame.key = KeyOf(name);
    if (frame.where == Frame::kShape && frame.key != Key::kOther) {
      const uint32_t bit = 1u << static_cast<int>(frame.key);
      if (shapes_.back().seen & bit) Fail(fmt::format("\"{}\" twice in one object", name));
      shapes_.back().seen |= bit;
    }
    return true;
  }

  bool start_object(size_t) {
    const Frame top = Top();
    Frame frame;
    switch (top.where) {
      case Frame::kShapes:
        frame.where = Frame::kShape;
        BeginShape(frames_.empty()  ? Shape::kRoot
                   : top.geometries ? Shape::kGeometry
                                    : Shape::kFeature);
        break;
      case Frame::kShape:
        if (top.key == Key::kGeometry) {
          frame.where = Frame::kShape;
          BeginShape(Shape::kGeometry);
        } else if (top.key == Key::kProperties) {
          frame.where = Frame::kProperties;
        } else if (top.key == Key::kType || top.key == Key::kCoordinates ||
                   top.key == Key::kFeatures || top.key == Key::kGeometries) {
          Fail("an object where the member's value cannot be one");
        }
        break;
      case Frame::kProperties:
        if (top.key == Key::kClassification) frame.where = Frame::kClassification;
        break;
      case Frame::kClassification:
        if (top.key == Key::kName || top.key == Key::kNames) FailClass();
        break;
      case Frame::kNames:
        FailClass();
      case Frame::kCoordinates:
        Fail("an object among coordinates");
      case Frame::kSkip:
        break;
    }
    return Push(frame);
  }

  bool start_array(size_t) {
    const Frame top = Top();
    Frame frame;
    switch (top.where) {
      case Frame::kShapes:
        if (!frames_.empty()) Fail("an array where a feature or geometry must stand");
        frame.where = Frame::kShapes;
        break;
      case Frame::kShape:
        if (top.key == Key::kCoordinates) {
          frame.where = Frame::kCoordinates;
          frame.depth = 1;
        } else if (top.key == Key::kFeatures || top.key == Key::kGeometries) {
          frame.where = Frame::kShapes;
          frame.geometries = top.key == Key::kGeometries;
        } else if (top.key == Key::kType || top.key == Key::kGeometry ||
                   top.key == Key::kProperties) {
          Fail("an array where the member's value cannot be one");
        }
        break;
      case Frame::kProperties:
        if (top.key == Key::kClassification) FailClass();
        if (top.key == Key::kChildren) frame.where = Frame::kShapes;
        break;
      case Frame::kClassification:
        if (top.key == Key::kName) FailClass();
        if (top.key == Key::kNames) {
          frame.where = Frame::kNames;
          shapes_.back().annotation.class_of.clear();
        }
        break;
      case Frame::kNames:
        FailClass();
      case Frame::kCoordinates:
        if (top.numbers > 0) Fail("an array inside a position");
        if (top.depth == 4) Fail("coordinates nested deeper than those of a MultiPolygon");
        frames_.back().nested = true;
        frame.where = Frame::kCoordinates;
        frame.depth = top.depth + 1;
        break;
      case Frame::kSkip:
        break;
    }
    return Push(frame);
  }

  bool end_object() {
    const bool shape = frames_.back().where == Frame::kShape;
    frames_.pop_back();
    if (shape) EndShape();
    return true;
  }

  bool end_array() {
    const Frame frame = frames_.back();
    frames_.pop_back();
    if (frame.where != Frame::kCoordinates) return true;
    Shape& shape = shapes_.back();
    if (frame.numbers == 0) {
      shape.closes.push_back({frame.depth, shape.vertices.size()});
      return true;
    }
    if (frame.numbers < 2) Fail("a position needs two numbers");
    if (shape.position_depth == 0) shape.position_depth = frame.depth;
    if (shape.position_depth != frame.depth) Fail("positions at different depths");
    text_.CountVertices(1, Offset());
    shape.vertices.push_back(frame.position);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
    std::string what = error.what();
    if (const size_t id = what.find("] "); id != std::string::npos) what.erase(0, id + 2);
    if (const size_t place = what.find(": ");
        what.rfind("parse error", 0) == 0 && place != std::string::npos) {
      what.erase(0, place + 2);
    }
    if (what.size() > 200) {
      size_t end = 200;
      while (end > 0 && (what[end] & 0xC0) == 0x80) --end;
      what.resize(end);
      what += " ...";
    }
    text_.Fail(position > 0 ? position - 1 : 0, "not JSON: " + what, kHint);
  }

 private:
  size_t Offset() const { return seen_ > begin_ ? static_cast<size_t>(seen_ - begin_) - 1 : 0; }
  [[noreturn]] void Fail(const std::string& what) const { text_.Fail(Offset(), what, kHint); }
  [[noreturn]] void FailClass() const { Fail("a classification whose name is not text"); }

  // Outside everything a shape or a list of shapes may stand.
  Frame Top() const {
    Frame outside;
    outside.where = Frame::kShapes;
    return frames_.empty() ? outside : frames_.back();
  }

  bool Push(const Frame& frame) {
    if (static_cast<int>(frames_.size()) >= text_.limits().depth) {
      Fail(fmt::format("nested deeper than {}", text_.limits().depth));
    }
    frames_.push_back(frame);
    return true;
  }

  bool Number(double value) {
    const Frame top = Top();
    if (top.where != Frame::kCoordinates) return Scalar(nullptr, false);
    Frame& frame = frames_.back();
    if (frame.nested) Fail("a number beside positions");
    const double checked = text_.Checked(value, Offset());
    if (frame.numbers == 0) frame.position.x = checked;
    if (frame.numbers == 1) frame.position.y = checked;
    if (frame.numbers < 2) ++frame.numbers;  // what follows is height
    return true;
  }

  // Text, or (text null) null and anything else.
  bool Scalar(const std::string* text, bool is_null) {
    const Frame top = Top();
    switch (top.where) {
      case Frame::kCoordinates:
        Fail("a coordinate that is not a finite number");
      case Frame::kShapes:
        Fail("a value where a feature or geometry must stand");
      case Frame::kShape:
        if (top.key == Key::kType) {
          if (!text) Fail("a \"type\" that is not text");
          shapes_.back().type = *text;
        } else if (top.key == Key::kCoordinates || top.key == Key::kFeatures ||
                   top.key == Key::kGeometries ||
                   (!is_null && (top.key == Key::kGeometry || top.key == Key::kProperties))) {
          Fail("a member of a wrong type");
        }
        break;
      case Frame::kProperties:
        if (top.key == Key::kName && text) shapes_.back().annotation.name = *text;
        if (top.key == Key::kClassification && !is_null) {
          if (!text) FailClass();
          shapes_.back().annotation.class_of = *text;
        }
        break;
      case Frame::kClassification:
        if ((top.key == Key::kName || top.key == Key::kNames) && !is_null) {
          if (!text) FailClass();
          shapes_.back().annotation.class_of = *text;
        }
        break;
      case Frame::kNames: {
        if (!text) FailClass();
        std::string& joined = shapes_.back().annotation.class_of;
        joined += (joined.empty() ? "" : ": ") + *text;
        break;
      }
      case Frame::kSkip:
        break;
    }
    return true;
  }

  void BeginShape(Shape::Role role) {
    Shape shape;
    shape.role = role;
    shape.at = Offset();
    shape.order = next_order_++;
    shapes_.push_back(std::move(shape));
  }

  [[noreturn]] void FailShape(const Shape& shape, const std::string& what) const {
    text_.Fail(shape.at, what, kHint);
  }

  static bool Seen(const Shape& shape, Key key) { return shape.seen >> static_cast<int>(key) & 1; }

  void EndShape() {
    Shape shape = std::move(shapes_.back());
    shapes_.pop_back();
    if (!Seen(shape, Key::kType)) FailShape(shape, "an object without a \"type\"");
    if (shape.type == "FeatureCollection") {
      if (shape.role != Shape::kRoot) FailShape(shape, "a FeatureCollection inside another object");
      if (!Seen(shape, Key::kFeatures)) FailShape(shape, "a FeatureCollection without features");
      return;
    }
    if (shape.type == "Feature") {
      if (shape.role == Shape::kGeometry) FailShape(shape, "a Feature where a geometry must stand");
    } else {
      EndGeometry(shape);
    }
    if (shape.role == Shape::kGeometry) {
      Shape& parent = shapes_.back();
      std::move(shape.annotation.polygons.begin(), shape.annotation.polygons.end(),
                std::back_inserter(parent.annotation.polygons));
      parent.skipped += shape.skipped;
      return;
    }
    skipped_ += shape.skipped;
    if (!shape.annotation.polygons.empty()) {
      found_.emplace_back(shape.order, std::move(shape.annotation));
    } else if (shape.skipped == 0) {
      ++skipped_;
    }
  }

  void EndGeometry(Shape& shape) {
    const std::string& type = shape.type;
    if (type == "Point" || type == "MultiPoint" || type == "LineString" ||
        type == "MultiLineString") {
      ++shape.skipped;
    } else if (type == "GeometryCollection") {
      if (!Seen(shape, Key::kGeometries))
        FailShape(shape, "a GeometryCollection without geometries");
    } else if (type == "Polygon" || type == "MultiPolygon") {
      if (!Seen(shape, Key::kCoordinates)) FailShape(shape, "a " + type + " without coordinates");
      MakePolygons(shape, type == "Polygon" ? 2 : 3);
    } else {
      FailShape(shape, fmt::format("\"{}\" is not a GeoJSON type", type.substr(0, 60)));
    }
  }

  // ring_depth: the depth of the lists that are rings.
  void MakePolygons(Shape& shape, int ring_depth) {
    if (shape.position_depth != 0 && shape.position_depth != ring_depth + 1) {
      FailShape(shape, fmt::format("positions nested {} deep where a {} has them {} deep",
                                   shape.position_depth, shape.type, ring_depth + 1));
    }
    std::vector<Polygon>& polygons = shape.annotation.polygons;
    const int64_t skipped_before = shape.skipped;
    Polygon polygon;
    bool has_outer = false;
    size_t begin = 0;
    for (const Shape::Close& close : shape.closes) {
      if (close.depth > ring_depth) FailShape(shape, "a position without numbers");
      if (close.depth == ring_depth) {
        Ring ring = WithoutRepeatedEnd(
            Ring(shape.vertices.begin() + static_cast<std::ptrdiff_t>(begin),
                 shape.vertices.begin() + static_cast<std::ptrdiff_t>(close.vertices)));
        begin = close.vertices;
        if (!has_outer) {
          has_outer = true;
          polygon.outer = std::move(ring);
        } else if (ring.size() >= 3) {
          polygon.holes.push_back(std::move(ring));
        } else {
          ++shape.skipped;
        }
      } else if (close.depth == ring_depth - 1) {
        if (polygon.outer.size() >= 3) {
          polygons.push_back(std::move(polygon));
        } else {
          ++shape.skipped;
        }
        polygon = {};
        has_outer = false;
      }
    }
    if (polygons.empty() && shape.skipped == skipped_before) ++shape.skipped;
    shape.vertices = {};
  }

  AnnotationText& text_;
  const char* begin_;
  const char* seen_;
  std::vector<Frame> frames_;
  std::vector<Shape> shapes_;
  size_t next_order_ = 0;
  std::vector<std::pair<size_t, Annotation>> found_;
  int64_t skipped_ = 0;
};

}  // namespace

AnnotationFile ParseGeoJson(AnnotationText& text) {
  std::string copy;
  std::string_view view = text.text();
  if (HideNotFinite(view, copy)) view = copy;
  const char* begin = view.data();
  GeoJsonReader reader(text, begin);
  nlohmann::json::sax_parse(TrackedIterator(begin, reader.seen()),
                            TrackedIterator(begin + view.size(), reader.seen()), &reader);
  return reader.Take();
}

}  // namespace eosin::tiling
