// SPDX-License-Identifier: Apache-2.0
// What eosin writes reads back as it was: holes, parts, order, names.
#include "core/base/philox.h"
#include "tests/testing.h"
#include "tiling/annotations/annotation.h"

namespace eosin::tiling {
namespace {

constexpr core::ExitCode kBad = core::ExitCode::kBadInput;

Ring Square(double x, double y, double side) {
  return {{x, y}, {x + side, y}, {x + side, y + side}, {x, y + side}};
}

// Nested, overlapping, in parts, of one class and of several, strangely named.
std::vector<Annotation> Hard() {
  return {
      {"big", "Tumor", {{Square(0, 0, 1000), {Square(100, 100, 50), Square(300, 300, 50)}}}},
      // Lies in big, over its hole: must neither take nor give holes.
      {"inner", "Tumor", {{Square(90, 90, 500), {}}}},
      {"parts", "Tumor", {{Square(2000, 0, 10), {Square(2002, 2, 3)}}, {Square(3000, 0, 10), {}}}},
      {"", "", {{Square(5, 5, 20), {Square(6, 6, 2)}}}},
      {"\xE8\x85\xAB\xE7\x98\xA4 \xF0\x9F\x94\xAC",
       "<&>\"'; a, b",
       {{Square(50.25, 60.75, 7.5), {}}}},
      {"line\nbreak\ttab", "Tumor (hole)", {{Square(0, 0, 9), {Square(1, 1, 2)}}}},
      {"again", "Tumor", {{{{1.01, 2.02}, {3.03, 4.04}, {-5.05, 6.06}}, {}}}},
      {" blanks ", "D\xC3\xBCse", {{Square(1e6, 2e6, 300), {}}}},
  };
}

TEST(AnnotationRoundTripTest, GeoJson) {
  const AnnotationFile file = ParseAnnotations(ToGeoJson(Hard()), "t");
  EXPECT_EQ(file.format, "geojson");
  EXPECT_EQ(file.skipped, 0);
  EXPECT_EQ(file.annotations, Hard());
}

TEST(AnnotationRoundTripTest, Asap) {
  const AnnotationFile file = ParseAnnotations(ToAsapXml(Hard()), "t");
  EXPECT_EQ(file.format, "asap");
  EXPECT_EQ(file.skipped, 0);
  EXPECT_EQ(file.annotations, Hard());
}

TEST(AnnotationRoundTripTest, ImageScope) {
  const AnnotationFile file = ParseAnnotations(ToImageScopeXml(Hard()), "t");
  EXPECT_EQ(file.format, "imagescope");
  EXPECT_EQ(file.skipped, 0);
  EXPECT_EQ(file.annotations, Hard());
}

// A program that drops what it does not know leaves the holes where they are.
TEST(AnnotationRoundTripTest, HolesSurviveWithoutTheMarks) {
  const std::vector<Annotation> regions = {
      {"a", "Tumor", {{Square(0, 0, 100), {Square(10, 10, 20)}}}},
      {"b", "Tumor", {{Square(500, 0, 100), {Square(510, 10, 20), Square(550, 50, 20)}}}}};
  for (std::string text : {ToAsapXml(regions), ToImageScopeXml(regions)}) {
    const std::string mark = " Continues=\"1\"";
    for (size_t at; (at = text.find(mark)) != std::string::npos;) text.erase(at, mark.size());
    EXPECT_EQ(ParseAnnotations(text, "t").annotations, regions);
  }
}

// The writers know which program numbers follow: XML keeps every bit, GeoJSON 1/100 px.
TEST(AnnotationRoundTripTest, RandomCoordinates) {
  core::PhiloxStream draw(4, core::DrawPurpose::kTest, 1, 1);
  std::vector<Annotation> regions;
  for (int i = 0; i < 200; ++i) {
    Ring ring;
    for (int k = 0; k < 5; ++k) {
      ring.push_back({draw.Next() * 1e-4 + draw.Next() * 1e-13, draw.Next() * -1e-4});
    }
    regions.push_back({std::to_string(i), i % 3 ? "a" : "b", {{ring, {}}}});
  }
  EXPECT_EQ(ParseAnnotations(ToAsapXml(regions), "t").annotations, regions);
  EXPECT_EQ(ParseAnnotations(ToImageScopeXml(regions), "t").annotations, regions);
  const auto read = ParseAnnotations(ToGeoJson(regions), "t").annotations;
  ASSERT_EQ(read.size(), regions.size());
  for (size_t i = 0; i < read.size(); ++i) {
    for (size_t k = 0; k < 5; ++k) {
      EXPECT_NEAR(read[i].polygons[0].outer[k].x, regions[i].polygons[0].outer[k].x, 0.00501);
      EXPECT_NEAR(read[i].polygons[0].outer[k].y, regions[i].polygons[0].outer[k].y, 0.00501);
    }
  }
}

TEST(AnnotationRoundTripTest, GeoJsonTextIsWhatQuPathReads) {
  EXPECT_EQ(ToGeoJson({{"n", "", {{{{10, 20}, {30.504, 20}, {30, 39.999}}, {}}}}}, {10, 19.5}),
            "{\"type\": \"FeatureCollection\", \"features\": [\n"
            "{\"type\": \"Feature\", \"geometry\": {\"type\": \"Polygon\", \"coordinates\": "
            "[[[0, 0.5], [20.5, 0.5], [20, 20.5], [0, 0.5]]]}, \"properties\": {\"objectType\": "
            "\"annotation\", \"name\": \"n\"}}\n]}\n");
  EXPECT_EQ(ToGeoJson({}), "{\"type\": \"FeatureCollection\", \"features\": []}\n");
  EXPECT_THAT(ToGeoJson({{"", "Tumor", {{Square(0, 0, 1), {}}}}}),
              ::testing::ContainsRegex("\"classification\": .\"name\": \"Tumor\", \"color\": "));
}

TEST(AnnotationRoundTripTest, EmptyListsAndRegionsWithoutPolygons) {
  for (const std::vector<Annotation>& regions :
       {std::vector<Annotation>{}, std::vector<Annotation>{{"a", "b", {}}}}) {
    EXPECT_TRUE(ParseAnnotations(ToGeoJson(regions), "t").annotations.empty());
    EXPECT_TRUE(ParseAnnotations(ToAsapXml(regions), "t").annotations.empty());
    EXPECT_TRUE(ParseAnnotations(ToImageScopeXml(regions), "t").annotations.empty());
  }
}

TEST(AnnotationRoundTripTest, WhatAFormatCannotHold) {
  testing::ExpectError([] { ToAsapXml({{"", "None", {{Square(0, 0, 1), {}}}}}); }, kBad, "None");
  testing::ExpectError([] { ToAsapXml({{"", "None (hole)", {{Square(0, 0, 1), {}}}}}); }, kBad,
                       "None (hole)");
  // Control characters and broken UTF-8 must not break the file.
  const std::vector<Annotation> odd = {
      {"a\x01"
       "b",
       "c\xFF",
       {{Square(0, 0, 1), {}}}}};
  for (const std::string& text : {ToAsapXml(odd), ToImageScopeXml(odd)}) {
    const auto read = ParseAnnotations(text, "t").annotations;
    EXPECT_EQ(read.at(0).name,
              "a\xEF\xBF\xBD"
              "b");
    EXPECT_EQ(read.at(0).class_of, "c\xEF\xBF\xBD");
  }
  EXPECT_EQ(ParseAnnotations(ToGeoJson(odd), "t").annotations.at(0).name,
            "a\x01"
            "b");
  EXPECT_EQ(ParseAnnotations(ToGeoJson(odd), "t").annotations.at(0).class_of, "c\xEF\xBF\xBD");
}

}  // namespace
}  // namespace eosin::tiling
