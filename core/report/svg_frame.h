// SPDX-License-Identifier: Apache-2.0
// What the charts of svg.h share: an SVG under construction, an axis frame with ticks, a legend.
// Internal to core/report.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace eosin::core {

// Maps data to pixels, linear or logarithmic (base 10).
struct Scale {
  double low = 0, high = 1;  // data; low < high
  double from = 0, to = 1;   // px
  bool log = false;

  double operator()(double value) const;
};

// "var(--c2,#009E73)": the page's colour, or Okabe-Ito's own where the SVG stands alone.
std::string PaletteColor(int index);

// Estimated width of text, px, at 12 px sans-serif.
double TextWidth(const std::string& text);

class SvgCanvas {
 public:
  // `label` names the picture to screen readers.
  SvgCanvas(int width, int height, const std::string& label);

  void Line(double x1, double y1, double x2, double y2, const std::string& style);
  void Rect(double x, double y, double w, double h, const std::string& style,
            const std::string& hover = "");
  // anchor: start, middle or end.
  void Text(double x, double y, const std::string& text, const std::string& anchor,
            const std::string& style = "");
  void VerticalText(double x, double y, const std::string& text);  // read from below, centred
  void Path(const std::string& d, const std::string& style);
  // Circle, square, triangle or diamond, by index.
  void Marker(double x, double y, int shape, double radius, const std::string& color,
              const std::string& hover = "");
  void Title(const std::string& text);  // the chart's title, bold, at the top left
  // One row or more of colour keys starting at (x, y); returns the height used.
  double Legend(double x, double y, double width,
                const std::vector<std::pair<std::string, int>>& entries, bool markers);
  // The largest legend height Legend would use.
  static double LegendHeight(double width, const std::vector<std::pair<std::string, int>>& entries);

  std::string Finish() const { return svg_ + "</svg>"; }

 private:
  std::string svg_;
};

// The plot's box and its tick marks with labels and grid lines.
struct Frame {
  double left, top, right, bottom;  // px
};
void DrawYAxis(SvgCanvas& canvas, const Frame& frame, const Scale& y,
               const std::vector<double>& ticks, const std::string& title);
void DrawXAxis(SvgCanvas& canvas, const Frame& frame, const Scale& x,
               const std::vector<double>& ticks, const std::string& title, bool grid);

// Tick values of a logarithmic axis: 1, 2, 5 times powers of ten, or powers alone over > 2 decades.
std::vector<double> LogTicks(double low, double high);

}  // namespace eosin::core
