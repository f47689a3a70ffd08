// SPDX-License-Identifier: Apache-2.0
// Broken and malicious files: refused with a place, never a crash.
#include <clocale>

#include "core/base/files.h"
#include "core/base/philox.h"
#include "tests/testing.h"
#include "tiling/annotations/annotation.h"

namespace eosin::tiling {
namespace {

constexpr core::ExitCode kBad = core::ExitCode::kBadInput;
const char* const kFixtures[] = {"qupath.geojson", "asap.xml", "imagescope.xml",
                                 "imagescope_utf16.xml"};

std::string Fixture(const std::string& name) {
  return core::ReadFile(testing::FixtureFolder() / "annotations" / name);
}

void ExpectRefused(const std::string& text, const std::string& message,
                   const AnnotationLimits& limits = {}) {
  SCOPED_TRACE(text.substr(0, 200));
  testing::ExpectError([&] { ParseAnnotations(text, "file", limits); }, kBad, message);
}

std::string Repeated(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

TEST(AnnotationHostileTest, NeitherFormat) {
  ExpectRefused("", "file is empty");
  ExpectRefused(" \n\t", "file is empty");
  ExpectRefused("\xEF\xBB\xBF", "file is empty");
  ExpectRefused("\xFF\xFE", "file is empty");
  ExpectRefused("slide,x,y\n", "neither JSON nor XML");
  ExpectRefused("\n\n 12", "line 3 (byte 3): neither");
  ExpectRefused("\x1F\x8B\x08\x00stuff", "compressed");
  ExpectRefused("PK\x03\x04stuff", "compressed");
  ExpectRefused("<html></html>", "root element is html");
  ExpectRefused("{\"a\":\"\xFF\"}", "(byte 6): not UTF-8");
  ExpectRefused("{\"a\":\"\xED\xA0\x80\"}", "not UTF-8");      // a surrogate
  ExpectRefused("{\"a\":\"\xC0\xAF\"}", "not UTF-8");          // overlong
  ExpectRefused("{\"a\":\"\xF4\x90\x80\x80\"}", "not UTF-8");  // beyond Unicode
  ExpectRefused(std::string("<Annotations/>x\0y", 17), "zero byte");
}

TEST(AnnotationHostileTest, EveryTruncationIsRefusedOrWhole) {
  for (const char* name : kFixtures) {
    SCOPED_TRACE(name);
    const std::string text = Fixture(name);
    const std::vector<Annotation> whole = ParseAnnotations(text, name).annotations;
    size_t whole_count = 0;
    for (size_t size = 0; size < text.size(); ++size) {
      try {
        ASSERT_EQ(ParseAnnotations(text.substr(0, size), name).annotations, whole) << size;
        ++whole_count;
      } catch (const core::DataError& error) {
        ASSERT_FALSE(error.hint().empty());
      }
    }
    EXPECT_LE(whole_count, 4u);  // only the line end after the last bracket may be missing
  }
}

TEST(AnnotationHostileTest, ChangedBytesNeverCrash) {
  core::PhiloxStream draw(4, core::DrawPurpose::kTest, 2, 1);
  int refused = 0, read = 0;
  for (const char* name : kFixtures) {
    const std::string text = Fixture(name);
    for (int round = 0; round < 3000; ++round) {
      std::string changed = text;
      const uint32_t edits = 1 + draw.Below(4);
      for (uint32_t i = 0; i < edits; ++i) {
        const size_t at = draw.Below(static_cast<uint32_t>(changed.size()));
        const uint32_t kind = draw.Below(4);
        if (kind == 0) changed[at] = static_cast<char>(draw.Below(256));
        if (kind == 1) changed[at] = "[]{}<>\"',:&=0-e"[draw.Below(15)];
        if (kind == 2) changed.erase(at, 1 + draw.Below(30));
        if (kind == 3) changed.insert(at, changed.substr(draw.Below(100), draw.Below(60)));
        if (changed.empty()) changed = "x";
      }
      try {
        ParseAnnotations(changed, name);
        ++read;
      } catch (const core::DataError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 3000);
  EXPECT_GT(read, 100);
}

TEST(AnnotationHostileTest, EntitiesAreNeverDeclared) {
  std::string laughs = "<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [\n<!ENTITY lol0 \"lol\">\n";
  for (int i = 1; i < 10; ++i) {
    laughs += "<!ENTITY lol" + std::to_string(i) + " \"" +
              Repeated("&lol" + std::to_string(i - 1) + ";", 10) + "\">\n";
  }
  laughs += "]>\n<ASAP_Annotations><Annotations>&lol9;</Annotations></ASAP_Annotations>";
  ExpectRefused(laughs, "line 2 (byte 22): a document type");
  ExpectRefused("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><Annotations/>", "document type");
  ExpectRefused(
      "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><Annotations>"
      "<Annotation Name=\"&x;\"/></Annotations>",
      "document type");
  // An entity nobody declared stays text.
  const auto read = ParseAnnotations(
      "<Annotations><Annotation Name='&x; &lt;'><Regions><Region><Vertices><Vertex X='0' Y='0'/>"
      "<Vertex X='1' Y='0'/><Vertex X='1' Y='1'/></Vertices></Region></Regions></Annotation>"
      "</Annotations>",
      "t");
  EXPECT_EQ(read.annotations.at(0).class_of, "&x; <");
}

TEST(AnnotationHostileTest, NestingIsCapped) {
  ExpectRefused(Repeated("[", 100000), "an array where a feature");
  ExpectRefused(R"({"type":"Feature","x":)" + Repeated("[", 100000), "deeper than 32");
  ExpectRefused(R"({"type":"Feature","x":)" + Repeated("{\"a\":", 100000), "deeper than 32");
  ExpectRefused(Repeated(R"({"type":"GeometryCollection","geometries":[)", 1000), "deeper than 32");
  ExpectRefused(R"({"type":"Polygon","coordinates":[[[[[)", "deeper than those of a MultiPolygon");
  ExpectRefused("<Annotations>" + Repeated("<a>", 40) + Repeated("</a>", 40) + "</Annotations>",
                "nested deeper than 32");
  ExpectRefused(Repeated("<a>", 100000) + Repeated("</a>", 100000), "more elements");
  const std::string pad(200, ' ');
  ExpectRefused("<Annotations>" + Repeated("<a b='" + pad + "'>", 10000) + Repeated("</a>", 10000) +
                    "</Annotations>",
                "nested deeper than 32");
  // 32 levels are still read.
  EXPECT_NO_THROW(ParseAnnotations(
      "<Annotations>" + Repeated("<a>", 31) + Repeated("</a>", 31) + "</Annotations>", "t"));
  EXPECT_NO_THROW(ParseAnnotations(R"({"type":"FeatureCollection","features":[],"x":)" +
                                       Repeated("[", 31) + Repeated("]", 31) + "}",
                                   "t"));
}

TEST(AnnotationHostileTest, MemoryIsCapped) {
  ExpectRefused("<Annotations>" + Repeated("<a/>", 100000) + "</Annotations>", "more elements");
  AnnotationLimits limits;
  limits.bytes = 100;
  ExpectRefused(std::string(101, ' '), "101 bytes, more than the 100", limits);
  testing::TempFolder folder;
  core::WriteFileAtomic(folder / "a.xml", std::string(101, ' '));
  testing::ExpectError([&] { ReadAnnotations(folder / "a.xml", limits); }, kBad, "101 bytes");
  limits = {};
  limits.vertices = 12;
  ExpectRefused(Fixture("qupath.geojson"), "more than 12 vertices", limits);
  limits.vertices = 10;
  ExpectRefused(Fixture("asap.xml"), "more than 10 vertices", limits);
}

TEST(AnnotationHostileTest, AHoleInManyRegionsCountsInEach) {
  std::string text = "<Annotations><Annotation><Regions>";
  const std::string square =
      "<Vertices><Vertex X='0' Y='0'/><Vertex X='9' Y='0'/><Vertex X='9' Y='9'/>"
      "<Vertex X='0' Y='9'/></Vertices></Region>";
  const std::string hole =
      "<Vertices><Vertex X='2' Y='2'/><Vertex X='4' Y='2'/><Vertex X='4' Y='4'/>"
      "<Vertex X='2' Y='4'/></Vertices></Region>";
  text += Repeated("<Region NegativeROA='0'>" + square, 50);
  text += Repeated("<Region NegativeROA='1'>" + hole, 50);
  text += "</Regions></Annotation></Annotations>";
  AnnotationLimits limits;
  limits.vertices = 50 * 4 + 50 * 50 * 4;
  EXPECT_EQ(ParseAnnotations(text, "t", limits).annotations.at(49).polygons[0].holes.size(), 50u);
  --limits.vertices;
  ExpectRefused(text, "vertices", limits);
}

TEST(AnnotationHostileTest, CoordinatesAreFiniteNumbersOfASlide) {
  const auto json = [](const std::string& x) {
    return "{\"type\":\"Polygon\",\"coordinates\":[[[0,0],\n[" + x + ",0],[4,4]]]}";
  };
  EXPECT_EQ(ParseAnnotations(json("1099511627776"), "t").annotations.size(), 1u);  // 2^40
  ExpectRefused(json("1099511627777"), "cannot lie on a slide");
  ExpectRefused(json("-1e308"), "file line 2 (byte");
  ExpectRefused(json("1e308"), "1e+308 cannot lie on a slide");
  ExpectRefused(json("1e999"), "number overflow");
  ExpectRefused(json("18446744073709551616"), "cannot lie");
  ExpectRefused(json("NaN"), "not a finite number");
  ExpectRefused(json("-Infinity"), "not a finite number");
  ExpectRefused(json("\"3\""), "not a finite number");
  ExpectRefused(json("null"), "not a finite number");
  ExpectRefused(json("true"), "not a finite number");
  ExpectRefused(json("{}"), "an object among coordinates");
  ExpectRefused(json("[1]"), "needs two numbers");
  const auto xml = [](const std::string& x) {
    return "<Annotations><Annotation><Regions><Region><Vertices>\n<Vertex X='" + x +
           "' Y='1'/><Vertex X='2' Y='0'/><Vertex X='1' Y='3'/></Vertices></Region></Regions>"
           "</Annotation></Annotations>";
  };
  EXPECT_EQ(ParseAnnotations(xml(" +1.5e1\n"), "t").annotations.at(0).polygons[0].outer[0].x, 15);
  for (const char* bad : {"", " ", "x", "1.5x", "1 2", "0x10", "--1", "+-1", "1,5", "1e999"}) {
    ExpectRefused(xml(bad), "line 2 (byte");
  }
  ExpectRefused(xml("nan"), "cannot lie on a slide");
  ExpectRefused(xml("-inf"), "cannot lie on a slide");
  ExpectRefused(xml("1e308"), "cannot lie on a slide");
}

// A program that set a German locale must read the same numbers.
TEST(AnnotationHostileTest, NumbersDoNotDependOnTheLocale) {
  const std::string old = std::setlocale(LC_ALL, nullptr);
  if (!std::setlocale(LC_ALL, "de_DE.UTF-8") && !std::setlocale(LC_ALL, "fr_FR.UTF-8")) {
    GTEST_SKIP() << "needs the locale de_DE.UTF-8 or fr_FR.UTF-8";
  }
  const std::vector<Annotation> regions = {{"", "", {{{{0.5, 0}, {3.25, 0}, {4, 4.75}}, {}}}}};
  EXPECT_EQ(ParseAnnotations(ToGeoJson(regions), "t").annotations, regions);
  EXPECT_EQ(ParseAnnotations(ToAsapXml(regions), "t").annotations, regions);
  std::setlocale(LC_ALL, old.c_str());
}

TEST(AnnotationHostileTest, GeoJsonOfWrongTypes) {
  ExpectRefused("{}", "without a \"type\"");
  ExpectRefused("[[]]", "an array where a feature");
  ExpectRefused("[1]", "a value where a feature");
  ExpectRefused(R"({"type":5})", "\"type\" that is not text");
  ExpectRefused(R"({"type":["Feature"]})", "cannot be one");
  ExpectRefused(R"({"type":"Circle"})", "\"Circle\" is not a GeoJSON type");
  ExpectRefused(R"({"type":"Feature","type":"Feature"})", "twice");
  ExpectRefused(R"({"type":"FeatureCollection"})", "without features");
  ExpectRefused(R"({"type":"FeatureCollection","features":{}})", "cannot be one");
  ExpectRefused(R"({"type":"FeatureCollection","features":null})", "wrong type");
  ExpectRefused(R"([{"type":"FeatureCollection","features":[]}])", "inside another");
  ExpectRefused(R"({"type":"Feature","geometry":[]})", "cannot be one");
  ExpectRefused(R"({"type":"Feature","geometry":3})", "wrong type");
  ExpectRefused(R"({"type":"Feature","geometry":{"type":"Feature"}})", "a geometry must stand");
  ExpectRefused(R"({"type":"Feature","properties":[]})", "cannot be one");
  ExpectRefused(R"({"type":"Polygon"})", "a Polygon without coordinates");
  ExpectRefused(R"({"type":"Polygon","coordinates":7})", "wrong type");
  ExpectRefused(R"({"type":"Polygon","coordinates":{}})", "cannot be one");
  ExpectRefused(R"({"type":"Polygon","coordinates":[1,2]})", "1 deep");
  ExpectRefused(R"({"type":"Polygon","coordinates":[[[1]]]})", "needs two numbers");
  ExpectRefused(R"({"type":"Polygon","coordinates":[[[]]]})", "without numbers");
  ExpectRefused(R"({"type":"Polygon","coordinates":[[[1,2],[3,[4]]]]})", "inside a position");
  ExpectRefused(R"({"type":"Polygon","coordinates":[[[1,2],5]]})", "beside positions");
  ExpectRefused(R"({"type":"Polygon","coordinates":[[[1,2]],[3,4]]})", "different depths");
  ExpectRefused(R"({"type":"MultiPolygon","coordinates":[[[1,2]]]})", "3 deep");
  ExpectRefused(R"({"type":"Feature","properties":{"classification":5}})", "not text");
  ExpectRefused(R"({"type":"Feature","properties":{"classification":{"name":5}}})", "not text");
  ExpectRefused(R"({"type":"Feature","properties":{"classification":{"names":[5]}}})", "not text");
  ExpectRefused(R"({"type":"Feature"} x)", "not JSON");
  ExpectRefused("{\"type\":\n\"Feature\",}", "line 2 (byte 19): not JSON");
  ExpectRefused(R"({"type":"Fea\q"})", "not JSON");
  ExpectRefused("{\"" + std::string(100000, 'a') + "\x01\"}", "not JSON");
}

TEST(AnnotationHostileTest, XmlOfWrongShapes) {
  ExpectRefused("<Annotations>", "not XML");
  ExpectRefused("<Annotations><a></Annotations>", "not XML");
  ExpectRefused("<", "not XML");
  ExpectRefused("<?xml version='1.0'?>", "not XML");
  ExpectRefused("<Annotations/><Annotations/>", "second document");
  const auto asap = [](const std::string& type, const std::string& coordinate) {
    return "<ASAP_Annotations><Annotations>\n<Annotation Type='" + type + "'><Coordinates>\n" +
           coordinate + "</Coordinates></Annotation></Annotations></ASAP_Annotations>";
  };
  ExpectRefused(asap("Polygon", "<Coordinate Order='0' X='1'/>"), "line 3 (byte");
  ExpectRefused(asap("Polygon", "<Coordinate Order='0' X='1'/>"), "a Coordinate without Y");
  ExpectRefused(asap("Polygon", "<Coordinate Order='x' X='1' Y='1'/>"), "\"x\" is not a number");
  ExpectRefused(asap("Polygon", "<Coordinate Order='nan' X='1' Y='1'/>"), "Order");
  ExpectRefused(asap("Blob", ""), "unknown Type \"Blob\"");
  // Half a surrogate pair spelled as a character.
  ExpectRefused("<Annotations><Annotation Name='&#xD800;'/></Annotations>", "not Unicode");
}

}  // namespace
}  // namespace eosin::tiling
