// SPDX-License-Identifier: Apache-2.0
#include "tiling/slides/mpp.h"

#include "tests/testing.h"

namespace eosin::tiling {
namespace {

using Properties = std::map<std::string, std::string>;
using ::testing::HasSubstr;

SlideMpp Find(const Properties& properties, std::vector<std::string>* warnings = nullptr) {
  return FindMpp(properties, warnings);
}

Properties Tiff(const char* resolution, const char* unit) {
  return {{"tiff.XResolution", resolution}, {"tiff.ResolutionUnit", unit}};
}

TEST(PropertyNumber, IsTheWholeText) {
  const auto number = [](const char* text) { return PropertyNumber({{"a", text}}, "a"); };
  EXPECT_EQ(number("0.25"), 0.25);
  EXPECT_EQ(number("0,25"), 0.25);
  EXPECT_EQ(number(" 20 "), 20);
  EXPECT_EQ(number("+5e-1"), 0.5);
  EXPECT_EQ(number("-3"), -3);
  for (const char* wrong :
       {"", " ", "+", "+-1", "0.25 um", "1,000.5", "20x", "nan", "inf", "1e999"}) {
    EXPECT_EQ(number(wrong), 0) << wrong;
  }
  EXPECT_EQ(PropertyNumber({}, "a"), 0);
}

TEST(FindMpp, PrefersTheVendorsWord) {
  const SlideMpp mpp = Find({{"openslide.mpp-x", "0.2521"},
                             {"openslide.mpp-y", "0.2523"},
                             {"tiff.XResolution", "30000"},
                             {"tiff.ResolutionUnit", "centimeter"}});
  EXPECT_DOUBLE_EQ(mpp.x, 0.2521);
  EXPECT_DOUBLE_EQ(mpp.y, 0.2523);
  EXPECT_EQ(mpp.source, "openslide.mpp-x");
  EXPECT_EQ(mpp.doubt, "");
}

TEST(FindMpp, ReadsTiffResolutionsInTheirUnit) {
  const SlideMpp cm = Find({{"tiff.XResolution", "20000"},
                            {"tiff.YResolution", "20000"},
                            {"tiff.ResolutionUnit", "centimeter"}});
  EXPECT_DOUBLE_EQ(cm.x, 0.5);
  EXPECT_EQ(cm.source, "tiff.XResolution");
  // An inch is 25.4 mm: 50,800 dpi is half a micron.
  const SlideMpp inch = Find(Tiff("50800", "inch"));
  EXPECT_DOUBLE_EQ(inch.x, 0.5);
  EXPECT_DOUBLE_EQ(inch.y, 0.5);
}

TEST(FindMpp, BelievesNoSlipsAndDefaults) {
  EXPECT_FALSE(Find({}).known());
  EXPECT_TRUE(Find({}).doubt.empty());
  EXPECT_FALSE(Find({{"tiff.XResolution", "20000"}}).known());  // no unit
  EXPECT_FALSE(Find(Tiff("20000", "none")).known());
  const SlideMpp screen = Find(Tiff("72", "inch"));
  EXPECT_FALSE(screen.known());
  EXPECT_THAT(screen.doubt, HasSubstr("352.8"));
  EXPECT_FALSE(Find({{"openslide.mpp-x", "0.0274"}, {"openslide.mpp-y", "0.0274"}}).known());
  EXPECT_FALSE(Find({{"openslide.mpp-x", "0.25"}, {"openslide.mpp-y", "0.5"}}).known());
  EXPECT_FALSE(Find({{"openslide.mpp-x", "nan"}, {"openslide.mpp-y", "none"}}).known());
}

TEST(FindMpp, NamesSlipsOfTenByTheObjective) {
  // HEST issue 106: 0.0274 for 0.2738; the other way round it would look sane.
  for (const char* wrong : {"0.0274", "2.738"}) {
    std::vector<std::string> warnings;
    const SlideMpp mpp = Find({{"openslide.mpp-x", wrong},
                               {"openslide.mpp-y", wrong},
                               {"openslide.objective-power", "40"}},
                              &warnings);
    EXPECT_FALSE(mpp.known()) << wrong;
    EXPECT_THAT(mpp.doubt, HasSubstr("slip of ten"));
    EXPECT_THAT(mpp.doubt, HasSubstr("40x objective gives about 0.25"));
    EXPECT_TRUE(warnings.empty());
  }
  // Six times off: a contradiction, but no slip.
  const SlideMpp mpp = Find({{"openslide.mpp-x", "1.5"}, {"openslide.objective-power", "40"}});
  EXPECT_FALSE(mpp.known());
  EXPECT_THAT(mpp.doubt, HasSubstr("1.5 um/px"));
  EXPECT_THAT(mpp.doubt, ::testing::Not(HasSubstr("slip")));
  // Scanners' products reach from 4 (40x at 0.1) to 25.
  for (const char* right : {"0.11", "0.16", "0.25", "0.5", "0.6"}) {
    EXPECT_TRUE(Find({{"openslide.mpp-x", right}, {"openslide.objective-power", "40"}}).known());
  }
}

TEST(FindMpp, TakesTheResolutionWhereTheVendorFails) {
  Properties properties = Tiff("40000", "centimeter");
  properties["openslide.mpp-x"] = properties["openslide.mpp-y"] = "0.025";
  properties["openslide.objective-power"] = "40";
  std::vector<std::string> warnings;
  const SlideMpp mpp = Find(properties, &warnings);
  EXPECT_DOUBLE_EQ(mpp.x, 0.25);
  EXPECT_EQ(mpp.source, "tiff.XResolution");
  EXPECT_THAT(mpp.doubt, HasSubstr("0.025"));
  EXPECT_THAT(warnings, ::testing::ElementsAre(HasSubstr("not believed: openslide.mpp-x")));
}

TEST(FindMpp, BelievesNeitherOfTwoThatContradict) {
  Properties properties = Tiff("10000", "centimeter");  // 1 um/px
  properties["openslide.mpp-x"] = "0.25";
  const SlideMpp mpp = Find(properties);
  EXPECT_FALSE(mpp.known());
  EXPECT_THAT(mpp.doubt, HasSubstr("openslide.mpp-x says 0.25 um/px and tiff.XResolution says 1"));
  // The objective decides where it speaks against one of them.
  properties["openslide.objective-power"] = "40";
  EXPECT_DOUBLE_EQ(Find(properties).x, 0.25);
  // A resolution left behind by a printer contradicts nothing.
  properties = Tiff("300", "inch");
  properties["openslide.mpp-x"] = "0.25";
  EXPECT_DOUBLE_EQ(Find(properties).x, 0.25);
}

TEST(FindMpp, TakesTheObjectiveLastAndSaysSo) {
  std::vector<std::string> warnings;
  const SlideMpp mpp = Find({{"openslide.objective-power", "20"}}, &warnings);
  EXPECT_DOUBLE_EQ(mpp.x, 0.5);
  EXPECT_DOUBLE_EQ(mpp.y, 0.5);
  EXPECT_EQ(mpp.source, "objective power");
  EXPECT_THAT(warnings, ::testing::ElementsAre(HasSubstr("20x is taken as 0.5 um/px")));
  // Also over 72 dpi, but not over a scale that somebody wrote down and that is wrong.
  Properties screen = Tiff("72", "inch");
  screen["openslide.objective-power"] = "20";
  EXPECT_EQ(Find(screen).source, "objective power");
  EXPECT_THAT(Find(screen).doubt, HasSubstr("352.8"));
  EXPECT_FALSE(Find({{"openslide.mpp-x", "0.05"}, {"openslide.objective-power", "20"}}).known());
  EXPECT_FALSE(Find({{"openslide.objective-power", "0"}}).known());
  EXPECT_FALSE(Find({{"openslide.objective-power", "1e9"}}).known());
}

}  // namespace
}  // namespace eosin::tiling
