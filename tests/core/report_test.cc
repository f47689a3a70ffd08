// SPDX-License-Identifier: Apache-2.0
#include "core/report/html.h"

#include <cmath>

#include "core/base/files.h"
#include "core/image/codec.h"
#include "core/report/svg.h"
#include "tests/testing.h"

namespace eosin::core {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Every opened element is closed in order, attributes are quoted, no bare '<' in text.
void ExpectWellFormed(const std::string& xml) {
  std::vector<std::string> open;
  for (size_t i = xml.find('<'); i != std::string::npos; i = xml.find('<', i + 1)) {
    const size_t end = xml.find('>', i);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = xml.substr(i + 1, end - i - 1);
    ASSERT_EQ(tag.find('<'), std::string::npos) << tag;
    ASSERT_EQ(Count(tag, "\"") % 2, 0u) << tag;
    if (tag[0] == '/') {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ(tag.substr(1), open.back());
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    i = end;
  }
  EXPECT_TRUE(open.empty());
}

Bytes SmallPicture() { return EncodePng(Image(4, 3, 3, 200)); }

TEST(Svg, TicksAreRoundAndInside) {
  EXPECT_THAT(NiceTicks(0, 1, 5),
              ElementsAre(0, ::testing::DoubleNear(0.2, 1e-12), ::testing::DoubleNear(0.4, 1e-12),
                          ::testing::DoubleNear(0.6, 1e-12), ::testing::DoubleNear(0.8, 1e-12),
                          ::testing::DoubleNear(1.0, 1e-12)));
  EXPECT_THAT(NiceTicks(3, 3, 5), ElementsAre(3));
  EXPECT_TRUE(NiceTicks(kNoValue, 1, 5).empty());
  for (const double tick : NiceTicks(-0.37, 12.1, 6)) {
    EXPECT_GE(tick, -0.37 - 1e-9);
    EXPECT_LE(tick, 12.1 + 1e-9);
  }
}

TEST(Svg, ShortNumbers) {
  EXPECT_EQ(ShortNumber(0.85), "0.85");
  EXPECT_EQ(ShortNumber(0), "0");
  EXPECT_EQ(ShortNumber(-0.00001), "-1e-05");
  EXPECT_EQ(ShortNumber(12400), "12,400");
  EXPECT_EQ(ShortNumber(-1234567), "-1,234,567");
  EXPECT_EQ(ShortNumber(12.5), "12.5");
  EXPECT_EQ(ShortNumber(kNoValue), "n/a");
}

TEST(Svg, LineBreaksAtMissingValues) {
  LineChart chart;
  chart.title = "a < b & \"c\"";
  chart.series = {{.name = "<ssl>",
                   .x = {0, 1, 2, 3, 4},
                   .y = {1, 2, kNoValue, 4, 5},
                   .low = {0, 1, 2, 3, 4},
                   .high = {2, 3, INFINITY, 5, 6}}};
  const std::string svg = chart.Svg();
  ExpectWellFormed(svg);
  EXPECT_THAT(svg, HasSubstr("a &lt; b &amp; &quot;c&quot;"));
  EXPECT_THAT(svg, HasSubstr("&lt;ssl&gt;"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  // Two pieces of line, two of band.
  EXPECT_EQ(Count(svg, "stroke-width=\"2\""), 2u);
  EXPECT_EQ(Count(svg, "fill-opacity=\"0.18\""), 2u);
}

TEST(Svg, LinePointsStandWhereTheyShould) {
  LineChart chart;
  chart.y_min = 0;
  chart.y_max = 10;
  chart.markers = true;
  chart.series = {{.x = {0, 10, 20}, .y = {0, 5, 10}}};
  const std::string svg = chart.Svg();
  // Parse the line's path "Mx yLx yLx y": equal steps, the middle halfway.
  const size_t at = svg.find("<path d=\"M");
  double x[3], y[3];
  ASSERT_EQ(std::sscanf(svg.c_str() + at, "<path d=\"M%lf %lfL%lf %lfL%lf %lf", &x[0], &y[0], &x[1],
                        &y[1], &x[2], &y[2]),
            6);
  EXPECT_NEAR(x[1], (x[0] + x[2]) / 2, 0.11);
  EXPECT_NEAR(y[1], (y[0] + y[2]) / 2, 0.11);
  EXPECT_LT(x[0], x[2]);
  EXPECT_GT(y[0], y[2]);  // SVG's y grows downwards
}

TEST(Svg, LongCurvesAreThinnedButKeepTheirSpikes) {
  LineChart chart;
  Series series{.name = "loss"};
  for (int i = 0; i < 100000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i == 54321 ? 100.0 : 1.0);
  }
  chart.series = {series};
  const std::string svg = chart.Svg();
  EXPECT_LT(svg.size(), 60'000u);
  chart.series[0].y[54321] = 1.0;
  EXPECT_NE(svg, chart.Svg());
  EXPECT_THAT(svg, HasSubstr(">100<"));  // the axis reaches the spike
}

TEST(Svg, EmptyChartsSaySo) {
  EXPECT_THAT(LineChart{}.Svg(), HasSubstr("no values"));
  EXPECT_THAT(BarChart{}.Svg(), HasSubstr("no values"));
  LineChart only_nan;
  only_nan.series = {{.name = "s", .x = {1, 2}, .y = {kNoValue, kNoValue}}};
  EXPECT_THAT(only_nan.Svg(), HasSubstr("no values"));
  LineChart log_of_zero;
  log_of_zero.log_x = true;
  log_of_zero.series = {{.name = "s", .x = {0, -1}, .y = {1, 2}}};
  EXPECT_THAT(log_of_zero.Svg(), HasSubstr("no values"));
  ExpectWellFormed(ForestPlot{}.Svg());
  ExpectWellFormed(Heatmap{}.Svg());
}

TEST(Svg, ForestPlotShowsEachInterval) {
  ForestPlot plot;
  plot.rows = {{"ssl - random", 0.1, 0.05, 0.15, "", true},
               {"failed", kNoValue, kNoValue, kNoValue, "", false},
               {"own note", 0.2, 0.1, 0.3, "p = .03", false}};
  const std::string svg = plot.Svg();
  ExpectWellFormed(svg);
  EXPECT_THAT(svg, HasSubstr("+0.100 [+0.050, +0.150]"));
  EXPECT_THAT(svg, HasSubstr("not estimable"));
  EXPECT_THAT(svg, HasSubstr("p = .03"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(Svg, HeatmapNormalisesRows) {
  Heatmap map;
  map.rows = map.columns = {"bg", "gland"};
  map.values = {90, 10, 0, 0};
  const std::string svg = map.Svg();
  ExpectWellFormed(svg);
  EXPECT_THAT(svg, HasSubstr("90.0 %"));
  EXPECT_THAT(svg, HasSubstr("10.0 %"));
  EXPECT_EQ(Count(svg, ">n/a<"), 2u);  // a row without counts
}

TEST(Svg, BarsSkipMissingValues) {
  BarChart chart;
  chart.categories = {"a", "b"};
  chart.series = {{"one", {1, kNoValue}, {0.5, kNoValue}, {1.5, kNoValue}},
                  {"two", {-1, 2}, {}, {}}};
  const std::string svg = chart.Svg();
  ExpectWellFormed(svg);
  EXPECT_EQ(Count(svg, "rx=\"1.5\""), 3u);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(Svg, BarLabelsBreakIntoLinesThatFit) {
  BarChart chart;
  chart.width = 300;
  for (int c = 0; c < 4; ++c) chart.categories.push_back("five shots nearest mean");
  chart.series = {{"one", {1, 2, 3, 4}, {}, {}}};
  const std::string svg = chart.Svg();
  ExpectWellFormed(svg);
  EXPECT_THAT(svg, Not(HasSubstr("five shots nearest mean</text>")));
  EXPECT_EQ(Count(svg, ">nearest</text>"), 4u);
  chart.width = 2000;
  EXPECT_EQ(Count(chart.Svg(), ">five shots nearest mean</text>"), 4u);
}

TEST(Svg, ScatterOneScaleOnePathAClass) {
  ScatterChart chart;
  chart.title = "t-SNE <a>";
  chart.x = {0, 10, 5, kNoValue, 5};
  chart.y = {0, 0, 5, 1, INFINITY};
  chart.groups = {0, 1, -1, 0, 0};
  chart.names = {"benign & co", "tumour", "absent"};
  const std::string svg = chart.Svg();
  ExpectWellFormed(svg);
  EXPECT_THAT(svg, HasSubstr("benign &amp; co (1)"));
  EXPECT_THAT(svg, HasSubstr("absent (0)"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  // Unlabelled points first; the triangle keeps its right angle: 5 up is half of 10 across.
  double x[3], y[3];
  size_t at = svg.find("<rect");
  for (int i = 0; i < 3; ++i) {
    at = svg.find("<path d=\"M", at + 1);
    ASSERT_NE(at, std::string::npos);
    ASSERT_EQ(std::sscanf(svg.c_str() + at, "<path d=\"M%lf %lfh0", &x[i], &y[i]), 2);
  }
  EXPECT_NEAR(y[1], y[2], 0.11);
  EXPECT_NEAR(y[1] - y[0], (x[2] - x[1]) / 2, 0.21);
  EXPECT_NEAR(x[0], (x[1] + x[2]) / 2, 0.11);
}

TEST(Svg, ScatterStaysSmallAndSaysWhatItLeftOut) {
  ScatterChart chart;
  for (int i = 0; i < 20000; ++i) {
    chart.x.push_back(std::cos(i * 0.7) * i);
    chart.y.push_back(std::sin(i * 0.7) * i);
    chart.groups.push_back(i % 20);
  }
  for (int g = 0; g < 20; ++g) chart.names.push_back("class " + std::to_string(g));
  const std::string svg = chart.Svg();
  ExpectWellFormed(svg);
  EXPECT_LT(svg.size(), 130'000u);
  EXPECT_THAT(svg, HasSubstr("5000 of 20000 points"));
  EXPECT_EQ(Count(svg, "stroke-linecap"), 40u);  // a key and a path a class
  EXPECT_EQ(Count(svg, "square"), 16u);
  EXPECT_THAT(ScatterChart{}.Svg(), HasSubstr("no values"));
  // All in one place: in the middle, not divided by nothing.
  const ScatterChart place{.x = {3, 3}, .y = {4, 4}};
  ExpectWellFormed(place.Svg());
  EXPECT_THAT(place.Svg(), Not(HasSubstr("nan")));
}

TEST(Html, EscapesEverything) {
  const std::string evil = "<script>alert('x')</script>&\"";
  HtmlPage page(evil, evil);
  page.AddHeading(evil);
  page.AddHeading("second");
  page.AddParagraph(evil);
  page.AddList({evil});
  page.AddCallout(Verdict::kGood, evil, evil);
  page.AddTable({evil}, {{evil}}, {.caption = evil});
  page.AddFacts({{evil, evil}});
  page.AddFigure(LineChart{.title = evil}.Svg(), evil);
  page.AddImage(SmallPicture(), evil);
  page.AddGallery({evil}, {{evil, {{SmallPicture(), evil}}}}, evil);
  page.AddTileWall({SmallPicture()}, evil);
  page.AddDetails(evil, evil);
  const std::string html = page.Html();
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_EQ(Count(html, "<script>"), 1u);  // the page's own
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
}

TEST(Html, LoadsNothingFromANetwork) {
  HtmlPage page("t");
  page.AddImage(SmallPicture(), "c");
  page.AddFigure(BarChart{.title = "b", .categories = {"a"}, .series = {{"s", {1}, {}, {}}}}.Svg(),
                 "");
  std::string html = page.Html();
  // The SVG namespace is a name, not an address that is fetched.
  const std::string name_space = "xmlns=\"http://www.w3.org/2000/svg\"";
  for (size_t at; (at = html.find(name_space)) != std::string::npos;) {
    html.erase(at, name_space.size());
  }
  EXPECT_THAT(html, Not(HasSubstr("http:")));
  EXPECT_THAT(html, Not(HasSubstr("https:")));
  EXPECT_THAT(html, Not(HasSubstr("url(")));
  EXPECT_THAT(html, Not(HasSubstr("@import")));
  EXPECT_THAT(html, Not(HasSubstr(" src=\"/")));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(html, HasSubstr("@media print"));
}

TEST(Html, InlineMarks) {
  HtmlPage page("t");
  page.AddParagraph("run `a < b` is **bold** but 2 ** 3 and ` alone stay");
  EXPECT_THAT(page.Html(), HasSubstr("<p>run <code>a &lt; b</code> is <strong>bold</strong> but "
                                     "2 ** 3 and ` alone stay</p>"));
}

TEST(Html, NumbersSortByValue) {
  HtmlPage page("t");
  page.AddTable({"arm", "Dice", "tiles", "date", "odd"},
                {{"a", "0.81 [0.79, 0.83]", "12,400", "2024-01-01", "3x3"},
                 {"b", "n/a", "85", "2024-01-02", "7"},
                 {"c", "+0.5", "3e-05", "2024-01-03", "1"}});
  const std::string html = page.Html();
  EXPECT_THAT(html, HasSubstr("data-v=\"0.81\""));
  EXPECT_THAT(html, HasSubstr("data-v=\"12400\""));
  EXPECT_THAT(html, HasSubstr("data-v=\"0.5\""));
  EXPECT_THAT(html, HasSubstr("data-v=\"3e-05\""));
  EXPECT_THAT(html, HasSubstr("<td class=\"n\">n/a</td>"));
  EXPECT_THAT(html, HasSubstr("<td>2024-01-01</td>"));
  EXPECT_THAT(html, HasSubstr("<td>7</td>"));  // "3x3" makes the column text
}

TEST(Html, PicturesAreEmbeddedWholeOrCounted) {
  // The PNG signature in base64, by hand.
  HtmlPage page("t");
  page.AddImage(SmallPicture(), "");
  EXPECT_THAT(page.Html(), HasSubstr("data:image/png;base64,iVBORw0KGgo"));
  EXPECT_THAT(page.Html(), HasSubstr("width=\"4\" height=\"3\""));

  HtmlPage small("t", "", 120'000);
  Image noise(100, 100, 3);
  for (size_t i = 0; i < noise.pixels.size(); ++i)
    noise.pixels[i] = static_cast<uint8_t>(i * 7919 >> 3);
  const Bytes picture = EncodePng(noise, 0);
  ASSERT_GT(picture.size(), 20'000u);
  small.AddTileWall({picture, picture}, "wall");
  EXPECT_THAT(small.Html(), HasSubstr("2 pictures left out"));
  EXPECT_LT(small.Html().size(), 120'000u);

  testing::ExpectError([&] { page.AddImage({1, 2, 3}, ""); }, ExitCode::kBadInput,
                       "neither JPEG nor PNG");
}

TEST(Html, WritesOneFile) {
  testing::TempFolder folder;
  HtmlPage page("t");
  page.AddParagraph("p");
  page.Write(folder / "report.html");
  EXPECT_EQ(ReadFile(folder / "report.html"), page.Html());
  EXPECT_EQ(ListFiles(folder.path(), {}, true).size(), 1u);
}

}  // namespace
}  // namespace eosin::core
