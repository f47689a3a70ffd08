// SPDX-License-Identifier: Apache-2.0
#include "tests/testing.h"
#include "tiling/annotations/label_map.h"

namespace eosin::tiling {
namespace {

using Role = ClassMap::Role;
constexpr core::ExitCode kUsage = core::ExitCode::kUsage;

TEST(ClassMapTest, ParsesIdsAndRoles) {
  const ClassMap map = ClassMap::Parse(
      "tumor=1, stroma = 254,artefact=ignore,pen=exclude,roi=include,hole=background");
  ASSERT_EQ(map.entries.size(), 6u);
  EXPECT_EQ(map.entries.at("tumor").role, Role::kClass);
  EXPECT_EQ(map.entries.at("tumor").id, 1);
  EXPECT_EQ(map.entries.at("stroma").id, 254);
  EXPECT_EQ(map.entries.at("artefact").role, Role::kIgnore);
  EXPECT_EQ(map.entries.at("pen").role, Role::kExclude);
  EXPECT_EQ(map.entries.at("roi").role, Role::kInclude);
  EXPECT_EQ(map.entries.at("hole").role, Role::kClass);
  EXPECT_EQ(map.entries.at("hole").id, 0);
  EXPECT_EQ(map.ToString(),
            "artefact=ignore,hole=background,pen=exclude,roi=include,stroma=254,tumor=1");
  EXPECT_TRUE(ClassMap::Parse("").entries.empty());
  EXPECT_EQ(ClassMap().ToString(), "");
}

TEST(ClassMapTest, NamesWithSigns) {
  const ClassMap map = ClassMap::Parse(R"("a, b"=1,c=d=2,"say ""x"""=3,Tumor: Positive=4," e "=5)");
  EXPECT_EQ(map.entries.at("a, b").id, 1);
  EXPECT_EQ(map.entries.at("c=d").id, 2);
  EXPECT_EQ(map.entries.at("say \"x\"").id, 3);
  EXPECT_EQ(map.entries.at("Tumor: Positive").id, 4);
  EXPECT_EQ(map.entries.at(" e ").id, 5);
}

TEST(ClassMapTest, ToStringIsParsedBack) {
  const std::vector<std::string> names = {"a",       "a,b",   "\"",       "\"\"",      "a\"", "\"a",
                                          "a=1",     " a",    "a ",       "x\"y",      ",",   "=",
                                          "a=b,c=d", "\",\"", "\xC3\xA4", "a\", \"b=3"};
  const ClassMap map = ClassMap::FromNames(names);
  EXPECT_EQ(map.entries.size(), names.size());
  const ClassMap again = ClassMap::Parse(map.ToString());
  ASSERT_EQ(again.entries.size(), map.entries.size()) << map.ToString();
  for (const auto& [name, entry] : map.entries) {
    ASSERT_TRUE(again.entries.count(name)) << name;
    EXPECT_EQ(again.entries.at(name).id, entry.id);
  }
}

TEST(ClassMapTest, RefusesWhatItCannotMean) {
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"tumor", "'tumor' has no '='"},
           {"tumor=", "neither an id nor a role"},
           {"tumor=1.5", "neither an id nor a role"},
           {"tumor=Ignore", "neither an id nor a role"},
           {"tumor=0", "outside 1 to 254"},
           {"tumor=255", "outside 1 to 254"},
           {"tumor=-1", "outside 1 to 254"},
           {"tumor=99999999999999999999", "outside 1 to 254"},
           {"=1", "has no name"},
           {"\"\"=1", "has no name"},
           {"a=1,", "has no '='"},
           {",a=1", "has no '='"},
           {"a=1,a=2", "'a' stands twice"},
           {"a=1,\"a\"=ignore", "'a' stands twice"},
           {"\"a=1", "quote is not closed"},
           {"\"a\"b=1", "after the closing quote"}}) {
    SCOPED_TRACE(text);
    testing::ExpectError([&] { ClassMap::Parse(text); }, kUsage, message);
  }
}

TEST(ClassMapTest, FromNamesSortsAndCountsOnce) {
  EXPECT_EQ(ClassMap::FromNames({"b", "a", "", "b", "A"}).ToString(), "A=1,a=2,b=3,unclassified=4");
  std::vector<std::string> names;
  for (int i = 0; i < 254; ++i) names.push_back(std::to_string(i));
  EXPECT_EQ(ClassMap::FromNames(names).entries.at("99").id, 254);
  names.push_back("x");
  testing::ExpectError([&] { ClassMap::FromNames(names); }, kUsage, "255 classes");
}

}  // namespace
}  // namespace eosin::tiling
