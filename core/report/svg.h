// SPDX-License-Identifier: Apache-2.0
// Charts as inline SVG text for HtmlPage::AddFigure. Text and axes use currentColor, series the CSS
// variables --c0..--c7 of the page (Okabe and Ito's colour-blind-safe palette), so one picture
// works in light and dark. Values that are not finite are left out: a line breaks there, a bar or a
// cell stays empty. All text is escaped. Svg() never throws; a chart without a finite value says
// so.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace eosin::core {

inline constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

struct Series {
  std::string name;               // empty = not in the legend
  std::vector<double> x, y;       // equal lengths
  std::vector<double> low, high;  // empty, or a band around y of the same length (seeds, intervals)
  int color = -1;                 // palette index; -1 = position in the chart
  bool dashed = false;
};

struct LineChart {
  std::string title, x_title, y_title;
  std::vector<Series> series;
  bool log_x = false;    // x <= 0 is left out
  bool markers = false;  // a dot at each point (always drawn where a line has one point)
  double y_min = kNoValue, y_max = kNoValue;  // fixed limits; NaN = from the data
  std::vector<double> x_ticks;  // fixed tick values (e.g. label fractions); empty = nice ones
  int width = 960, height = 380;

  std::string Svg() const;
};

struct ForestRow {
  std::string label;  // e.g. "ssl - imagenet, 10 % labels"
  double estimate = kNoValue, low = kNoValue, high = kNoValue;
  std::string note;      // right of the interval; empty = "estimate [low, high]"
  bool primary = false;  // drawn bold, as a diamond
};

struct ForestPlot {
  std::string title, x_title;
  std::vector<ForestRow> rows;
  std::string left_note, right_note;  // under the axis ends, e.g. "favours random", "favours ssl"
  double zero = 0;                    // where the line of no difference stands
  int decimals = 3;                   // of the notes
  int width = 960;

  std::string Svg() const;
};

struct BarSeries {
  std::string name;
  std::vector<double> values;     // one a category
  std::vector<double> low, high;  // empty, or the ends of an error bar a category
  int color = -1;
};

struct BarChart {
  std::string title, y_title;
  std::vector<std::string> categories;
  std::vector<BarSeries> series;              // bars of one category stand side by side
  double y_min = kNoValue, y_max = kNoValue;  // NaN = from the data and 0
  int width = 960, height = 380;

  std::string Svg() const;
};

// A matrix of cells, e.g. a confusion matrix: shade = value / row sum (normalise_rows) or value /
// largest value; the cell shows the share (or the value), its hover text the raw value.
struct Heatmap {
  std::string title, row_title, column_title;
  std::vector<std::string> rows, columns;
  std::vector<double> values;  // row-major, rows x columns, >= 0
  bool normalise_rows = true;
  int cell = 84;  // px

  std::string Svg() const;
};

// Points in a plane whose axes mean nothing (PCA, t-SNE, UMAP): a frame, no ticks, x and y at one
// scale. Classes differ by colour, from the ninth on by shape too. About 9 bytes a point.
struct ScatterChart {
  std::string title;
  std::vector<double> x, y;        // equal lengths; points that are not finite are left out
  std::vector<int64_t> groups;     // index into `names`, one a point; negative = drawn grey, below
  std::vector<std::string> names;  // of the classes, for the legend; empty = no legend
  bool counts = true;              // the legend says how many points a class has
  double radius = 0;               // px; 0 = by the number of points
  int64_t max_points = 5000;       // thinned above; the chart then says so
  int width = 620, height = 560;

  std::string Svg() const;
};

// `&`, `<`, `>`, `"`, `'` as entities; other control characters become spaces.
std::string EscapeXml(const std::string& text);

// At most about `count` round tick values (1, 2, 2.5 or 5 times a power of ten) within [low, high].
std::vector<double> NiceTicks(double low, double high, int count);

// Short text of a number for axes and tables: 0.85, 12,400, 3e-05; "n/a" when not finite.
std::string ShortNumber(double value);

}  // namespace eosin::core
