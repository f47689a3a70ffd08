// SPDX-License-Identifier: Apache-2.0
// What the three programs write, read back value by value.
#include "tiling/annotations/annotation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/files.h"
#include "tests/testing.h"

namespace eosin::tiling {
namespace {

using ::testing::ElementsAre;
constexpr core::ExitCode kBad = core::ExitCode::kBadInput;

AnnotationFile ReadFixture(const std::string& name) {
  return ReadAnnotations(testing::FixtureFolder() / "annotations" / name);
}

Ring Square(double x, double y, double side) {
  return {{x, y}, {x + side, y}, {x + side, y + side}, {x, y + side}};
}

std::vector<Annotation> Regions(const std::string& text) {
  return ParseAnnotations(text, "t").annotations;
}

TEST(AnnotationTest, ReadsWhatQuPathExports) {
  const AnnotationFile file = ReadFixture("qupath.geojson");
  EXPECT_EQ(file.format, "geojson");
  EXPECT_EQ(file.skipped, 2);  // points and a line
  ASSERT_EQ(file.annotations.size(), 3u);
  const Annotation& tumor = file.annotations[0];
  EXPECT_EQ(tumor.name, "L\xC3\xA4sion 1");
  EXPECT_EQ(tumor.class_of, "Tumor");
  ASSERT_EQ(tumor.polygons.size(), 1u);
  EXPECT_EQ(tumor.polygons[0].outer,
            (Ring{{1200, 800}, {2600.5, 812.25}, {2580, 1990.75}, {1210, 2004}}));
  EXPECT_THAT(tumor.polygons[0].holes,
              ElementsAre(Ring{{1600, 1200}, {1600, 1500}, {1900, 1500}, {1900, 1200}}));
  const Annotation& stroma = file.annotations[1];
  EXPECT_EQ(stroma.name, "");
  EXPECT_EQ(stroma.class_of, "Stroma: Positive");
  ASSERT_EQ(stroma.polygons.size(), 2u);
  EXPECT_EQ(stroma.polygons[0].outer, Square(100, 100, 200));
  EXPECT_EQ(stroma.polygons[1].outer, (Ring{{400, 100}, {500, 100}, {450, 200}}));
  EXPECT_EQ(file.annotations[2].class_of, "");
  EXPECT_EQ(file.annotations[2].polygons[0].outer.size(), 5u);
}

TEST(AnnotationTest, ReadsWhatAsapSaves) {
  const AnnotationFile file = ReadFixture("asap.xml");
  EXPECT_EQ(file.format, "asap");
  EXPECT_EQ(file.skipped, 2);  // a dot and a point set
  ASSERT_EQ(file.annotations.size(), 3u);
  EXPECT_EQ(file.annotations[0].class_of, "Tumor");
  EXPECT_EQ(file.annotations[0].polygons[0].outer,
            (Ring{{53426.2031, 92480.5}, {53900, 92480.5}, {53900, 93000}, {53426.2031, 93000}}));
  EXPECT_EQ(file.annotations[1].name, "Annotation 1");
  EXPECT_EQ(file.annotations[1].class_of, "");                             // group None
  EXPECT_EQ(file.annotations[1].polygons[0].outer, Square(100, 50, 100));  // by Order
  EXPECT_EQ(file.annotations[2].class_of, "_2");
}

TEST(AnnotationTest, ReadsWhatImageScopeSavesInBothEncodings) {
  for (const char* name : {"imagescope.xml", "imagescope_utf16.xml"}) {
    SCOPED_TRACE(name);
    const AnnotationFile file = ReadFixture(name);
    EXPECT_EQ(file.format, "imagescope");
    EXPECT_EQ(file.skipped, 1);  // a ruler
    ASSERT_EQ(file.annotations.size(), 3u);
    const Annotation& gland = file.annotations[0];
    EXPECT_EQ(gland.name, "gland");
    EXPECT_EQ(gland.class_of, "Dr\xC3\xBCse & Lumen");
    EXPECT_EQ(gland.polygons[0].outer, Square(1000, 2000, 600));
    EXPECT_THAT(gland.polygons[0].holes, ElementsAre(Square(1200, 2200, 100)));
    const Polygon& ellipse = file.annotations[1].polygons[0];
    EXPECT_TRUE(ellipse.holes.empty());
    EXPECT_EQ(file.annotations[2].class_of, "Artefact");
    EXPECT_EQ(file.annotations[2].polygons[0].outer,
              (Ring{{10, 20}, {110, 20}, {110, 70}, {10, 70}}));
  }
}

// Corners (3000, 3000) and (3200, 3100): half axes 100 and 50.
TEST(AnnotationTest, AnEllipseKeepsWithinATwentiethOfAPixel) {
  const Ring ring = ReadFixture("imagescope.xml").annotations[1].polygons[0].outer;
  double area = 0;
  for (size_t i = 0; i < ring.size(); ++i) {
    const Vertex a = ring[i], b = ring[(i + 1) % ring.size()];
    const auto radius = [](double x, double y) {
      return std::hypot((x - 3100) / 100, (y - 3050) / 50);
    };
    EXPECT_NEAR(radius(a.x, a.y), 1, 1e-12);
    EXPECT_GE(radius((a.x + b.x) / 2, (a.y + b.y) / 2), 1 - 0.05 / 100);
    area += (a.x * b.y - b.x * a.y) / 2;
  }
  EXPECT_NEAR(area, std::numbers::pi * 100 * 50, 0.001 * std::numbers::pi * 100 * 50);
}

TEST(AnnotationTest, GeoJsonComesInManyWrappings) {
  const std::string polygon = R"({"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]})";
  const std::string feature = R"({"geometry":)" + polygon +
                              R"(,"properties":{"classification":{"name":"A"}},"type":"Feature"})";
  const Ring ring{{0, 0}, {4, 0}, {4, 4}};
  for (const std::string& text :
       {feature, "[" + feature + "]", " \n[" + feature + "]\n", "\xEF\xBB\xBF" + feature,
        R"({"features":[)" + feature + R"(],"type":"FeatureCollection"})"}) {
    const std::vector<Annotation> found = Regions(text);
    ASSERT_EQ(found.size(), 1u) << text;
    EXPECT_EQ(found[0].class_of, "A") << text;
    EXPECT_EQ(found[0].polygons[0].outer, ring) << text;
  }
  EXPECT_EQ(Regions(polygon)[0].polygons[0].outer, ring);  // a bare geometry
  EXPECT_EQ(Regions("[" + polygon + "," + polygon + "]").size(), 2u);
}

TEST(AnnotationTest, AGeometryCollectionIsOneRegion) {
  const AnnotationFile file = ParseAnnotations(
      R"({"type":"Feature","properties":null,"geometry":{"type":"GeometryCollection","geometries":[
        {"type":"Polygon","coordinates":[[[0,0,7],[4,0,7],[4,4,7],[0,0,7]]]},
        {"type":"Point","coordinates":[1,2]},
        {"type":"GeometryCollection","geometries":[
          {"type":"MultiPolygon","coordinates":[[[[9,9],[10,9],[10,10],[9,9]]]]}]}]}})",
      "t");
  ASSERT_EQ(file.annotations.size(), 1u);
  EXPECT_EQ(file.annotations[0].polygons.size(), 2u);
  EXPECT_EQ(file.skipped, 1);
}

TEST(AnnotationTest, ChildrenFollowTheirParent) {
  const auto feature = [](const std::string& name, const std::string& more) {
    return R"({"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4]]]},)"
           R"("properties":{"classification":")" +
           name + "\"" + more + "}}";
  };
  const auto found =
      Regions("[" + feature("parent", R"(,"childObjects":[)" + feature("child", "") + "]") + "," +
              feature("next", "") + "]");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].class_of, "parent");
  EXPECT_EQ(found[1].class_of, "child");
  EXPECT_EQ(found[2].class_of, "next");
}

TEST(AnnotationTest, ShapesWithoutAreaAreCounted) {
  const auto skipped = [](const std::string& text) {
    const AnnotationFile file = ParseAnnotations(text, "t");
    EXPECT_TRUE(file.annotations.empty()) << text;
    return file.skipped;
  };
  EXPECT_EQ(skipped(R"({"type":"FeatureCollection","features":[]})"), 0);
  EXPECT_EQ(skipped(R"({"type":"Feature","geometry":null,"properties":null})"), 1);
  EXPECT_EQ(skipped(R"({"type":"Feature","properties":{}})"), 1);
  EXPECT_EQ(skipped(R"({"type":"Polygon","coordinates":[]})"), 1);
  EXPECT_EQ(skipped(R"({"type":"Polygon","coordinates":[[]]})"), 1);
  EXPECT_EQ(skipped(R"({"type":"Polygon","coordinates":[[[1,1],[2,2],[1,1]]]})"), 1);
  EXPECT_EQ(skipped(R"({"type":"MultiPolygon","coordinates":[]})"), 1);
  EXPECT_EQ(skipped("<ASAP_Annotations/>"), 0);
  EXPECT_EQ(skipped("<Annotations/>"), 0);
  EXPECT_EQ(skipped("<Annotations><Annotation><Regions><Region/></Regions></Annotation>"
                    "</Annotations>"),
            1);
}

// Names of ImageScope layers in the order that decides.
TEST(AnnotationTest, ImageScopeLayersAreNamedInThreeWays) {
  const auto class_of = [](const std::string& name, const std::string& attributes) {
    return Regions("<Annotations><Annotation Name=\"" + name + "\"><Attributes>" + attributes +
                   "</Attributes><Regions><Region><Vertices><Vertex X='0' Y='0'/><Vertex X='1' "
                   "Y='0'/><Vertex X='1' Y='1'/></Vertices></Region></Regions></Annotation>"
                   "</Annotations>")
        .at(0)
        .class_of;
  };
  const std::string description = "<Attribute Name='Description' Value='stroma'/>";
  const std::string label = "<Attribute Name='Lung_Tumor' Id='0' Value=''/>";
  EXPECT_EQ(class_of("Tumor", description + label), "Tumor");
  EXPECT_EQ(class_of("", label + description), "stroma");
  EXPECT_EQ(class_of("", "<Attribute Name='Description' Value=''/>" + label), "Lung_Tumor");
  EXPECT_EQ(class_of("", "<Attribute Name='Score' Value='3'/>"), "");
}

TEST(AnnotationTest, NegativeRegionsAreCutFromTheRegionsTheyLieIn) {
  const auto region = [](int negative, double x, double y, double side) {
    std::string text = "<Region NegativeROA='" + std::to_string(negative) + "'><Vertices>";
    for (const Vertex& v : Square(x, y, side)) {
      text += "<Vertex X='" + std::to_string(v.x) + "' Y='" + std::to_string(v.y) + "'/>";
    }
    return text + "</Vertices></Region>";
  };
  // The hole comes first, lies in A and B (drawn over A), not in C nor in the other layer.
  const AnnotationFile file = ParseAnnotations(
      "<Annotations><Annotation Name='x'><Regions>" + region(1, 20, 20, 5) + region(0, 0, 0, 100) +
          region(0, 10, 10, 30) + region(0, 60, 60, 10) + region(1, 500, 500, 5) +
          "</Regions></Annotation><Annotation Name='y'><Regions>" + region(0, 0, 0, 100) +
          "</Regions></Annotation></Annotations>",
      "t");
  ASSERT_EQ(file.annotations.size(), 4u);
  EXPECT_THAT(file.annotations[0].polygons[0].holes, ElementsAre(Square(20, 20, 5)));
  EXPECT_THAT(file.annotations[1].polygons[0].holes, ElementsAre(Square(20, 20, 5)));
  EXPECT_TRUE(file.annotations[2].polygons[0].holes.empty());
  EXPECT_TRUE(file.annotations[3].polygons[0].holes.empty());
  EXPECT_EQ(file.skipped, 1);  // the hole in nothing
}

TEST(AnnotationTest, ManyHolesFindTheirRegions) {
  std::string text = "<Annotations><Annotation><Regions>";
  const auto add = [&](int negative, double x, double y, double side) {
    text += "<Region NegativeROA='" + std::to_string(negative) + "'><Vertices>";
    for (const Vertex& v : Square(x, y, side)) {
      text += "<Vertex X='" + std::to_string(v.x) + "' Y='" + std::to_string(v.y) + "'/>";
    }
    text += "</Vertices></Region>";
  };
  for (int i = 0; i < 400; ++i) add(0, i % 20 * 100, i / 20 * 100, 90);
  for (int i = 0; i < 400; ++i) add(1, i % 20 * 100 + 10, i / 20 * 100 + 10, 50);
  const auto found = Regions(text + "</Regions></Annotation></Annotations>");
  ASSERT_EQ(found.size(), 400u);
  for (int i = 0; i < 400; ++i) {
    EXPECT_THAT(found[static_cast<size_t>(i)].polygons[0].holes,
                ElementsAre(Square(i % 20 * 100 + 10, i / 20 * 100 + 10, 50)));
  }
}

TEST(AnnotationTest, ReadsLatin1WhenTheFileDeclaresIt) {
  const auto found = Regions(
      "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Annotations><Annotation Name=\"Dr\xFCse\">"
      "<Regions><Region><Vertices><Vertex X='0' Y='0'/><Vertex X='1' Y='0'/><Vertex X='1' Y='1'/>"
      "</Vertices></Region></Regions></Annotation></Annotations>");
  EXPECT_EQ(found.at(0).class_of, "Dr\xC3\xBCse");
}

TEST(AnnotationTest, ReadsBigEndianAndUnmarkedUtf16) {
  const std::string ascii =
      "<Annotations><Annotation Name='a'><Regions><Region><Vertices><Vertex X='0' Y='0'/><Vertex "
      "X='1' Y='0'/><Vertex X='1' Y='1'/></Vertices></Region></Regions></Annotation></Annotations>";
  std::string big, little;
  for (const char c : ascii) {
    big += std::string{'\0', c};
    little += std::string{c, '\0'};
  }
  for (const std::string& text : {big, little, "\xFE\xFF" + big, "\xFF\xFE" + little}) {
    EXPECT_EQ(Regions(text).at(0).polygons[0].outer, (Ring{{0, 0}, {1, 0}, {1, 1}}));
  }
}

TEST(AnnotationTest, AMissingFileIsNamed) {
  testing::ExpectError([] { ReadAnnotations("/nowhere/a.geojson"); }, kBad, "/nowhere/a.geojson");
}

}  // namespace
}  // namespace eosin::tiling
