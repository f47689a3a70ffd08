// SPDX-License-Identifier: Apache-2.0
// LineChart and BarChart.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <utility>

#include "core/report/svg.h"
#include "core/report/svg_frame.h"

namespace eosin::core {
namespace {

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Take(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

// Limits of an axis: fixed ones, or the data's with a little air; never of zero length.
Range Limits(Range data, double fixed_low, double fixed_high, double air) {
  const double span = data.high - data.low;
  const double pad = span > 0 ? air * span : std::max(std::abs(data.low) * 0.1, 0.5);
  if (air > 0 || span == 0) {
    data.low -= pad;
    data.high += pad;
  }
  if (std::isfinite(fixed_low)) data.low = fixed_low;
  if (std::isfinite(fixed_high)) data.high = fixed_high;
  if (data.high <= data.low) data.high = data.low + 1;
  return data;
}

std::string NoData(int width, const std::string& title) {
  SvgCanvas canvas(width, 60, title);
  canvas.Title(title);
  canvas.Text(2, 42, "no values to draw", "start", "fill-opacity=\"0.8\"");
  return canvas.Finish();
}

double LeftMargin(const std::vector<double>& ticks, const std::string& title) {
  double widest = 0;
  for (const double tick : ticks) widest = std::max(widest, TextWidth(ShortNumber(tick)));
  return 14 + widest + (title.empty() ? 0 : 18);
}

double At(const std::vector<double>& values, size_t i) {
  return i < values.size() ? values[i] : kNoValue;
}

// Points to draw. Long curves keep the lowest and the highest point of every pixel column's worth
// of samples, so that spikes stay visible and the page small.
std::vector<size_t> Thin(const std::vector<double>& y, size_t most) {
  std::vector<size_t> kept;
  const size_t count = y.size();
  if (count <= most) {
    for (size_t i = 0; i < count; ++i) kept.push_back(i);
    return kept;
  }
  const size_t buckets = most / 2;
  for (size_t b = 0; b < buckets; ++b) {
    size_t low = b * count / buckets, high = low;
    for (size_t i = low; i < (b + 1) * count / buckets; ++i) {
      if (!std::isfinite(y[i])) continue;
      if (!std::isfinite(y[low]) || y[i] < y[low]) low = i;
      if (!std::isfinite(y[high]) || y[i] > y[high]) high = i;
    }
    kept.push_back(std::min(low, high));
    if (low != high) kept.push_back(std::max(low, high));
  }
  return kept;
}

struct Point {
  double x, y;
};

std::string PathOf(const std::vector<Point>& points) {
  std::string d;
  for (const Point& p : points)
    d += fmt::format("{}{:.1f} {:.1f}", d.empty() ? "M" : "L", p.x, p.y);
  return d;
}

void DrawSeries(SvgCanvas& canvas, const LineChart& chart, const Series& series, int color,
                const Scale& x, const Scale& y) {
  const std::string paint = PaletteColor(color);
  const auto kept = Thin(series.y, 1600);
  auto has_x = [&](size_t i) {
    return i < series.x.size() && std::isfinite(series.x[i]) && (!chart.log_x || series.x[i] > 0);
  };
  auto clamp_y = [&](double value) {
    return y(std::clamp(value, std::min(y.low, y.high), std::max(y.low, y.high)));
  };
  std::vector<Point> upper, lower;
  auto flush_band = [&] {
    if (upper.size() > 1) {
      upper.insert(upper.end(), lower.rbegin(), lower.rend());
      canvas.Path(PathOf(upper) + "z",
                  "fill=\"" + paint + "\" fill-opacity=\"0.18\" stroke=\"none\"");
    }
    upper.clear();
    lower.clear();
  };
  for (const size_t i : kept) {
    const double low = At(series.low, i), high = At(series.high, i);
    if (has_x(i) && std::isfinite(low) && std::isfinite(high)) {
      upper.push_back({x(series.x[i]), clamp_y(high)});
      lower.push_back({x(series.x[i]), clamp_y(low)});
    } else {
      flush_band();
    }
  }
  flush_band();
  std::vector<Point> line;
  auto flush_line = [&] {
    if (line.size() > 1) {
      canvas.Path(PathOf(line),
                  fmt::format("fill=\"none\" stroke=\"{}\" stroke-width=\"2\" "
                              "stroke-linejoin=\"round\"{}",
                              paint, series.dashed ? " stroke-dasharray=\"6 4\"" : ""));
    } else if (line.size() == 1 && !chart.markers) {
      canvas.Marker(line[0].x, line[0].y, color, 4, paint);
    }
    line.clear();
  };
  for (const size_t i : kept) {
    if (has_x(i) && std::isfinite(series.y[i])) {
      line.push_back({x(series.x[i]), clamp_y(series.y[i])});
    } else {
      flush_line();
    }
  }
  flush_line();
  if (!chart.markers) return;
  for (const size_t i : kept) {
    if (!has_x(i) || !std::isfinite(series.y[i])) continue;
    std::string hover = fmt::format("{}: {} at {}", series.name, ShortNumber(series.y[i]),
                                    ShortNumber(series.x[i]));
    if (std::isfinite(At(series.low, i)) && std::isfinite(At(series.high, i))) {
      hover += fmt::format(" [{}, {}]", ShortNumber(series.low[i]), ShortNumber(series.high[i]));
    }
    canvas.Marker(x(series.x[i]), clamp_y(series.y[i]), color, 4, paint, hover);
  }
}

}  // namespace

std::string LineChart::Svg() const {
  Range x_data, y_data;
  std::vector<std::pair<std::string, int>> legend;
  for (size_t s = 0; s < series.size(); ++s) {
    const Series& one = series[s];
    for (size_t i = 0; i < one.y.size() && i < one.x.size(); ++i) {
      if (!std::isfinite(one.y[i]) || (log_x && one.x[i] <= 0)) continue;
      x_data.Take(one.x[i]);
      y_data.Take(one.y[i]);
      y_data.Take(At(one.low, i));
      y_data.Take(At(one.high, i));
    }
    if (!one.name.empty()) {
      legend.emplace_back(one.name, one.color >= 0 ? one.color : static_cast<int>(s));
    }
  }
  if (x_data.empty() || y_data.empty()) return NoData(width, title);
  const Range y_range = Limits(y_data, y_min, y_max, 0.06);
  Range x_range = x_data;
  if (log_x) {
    x_range.low /= 1.15;
    x_range.high *= 1.15;
  } else {
    x_range = Limits(x_data, kNoValue, kNoValue, markers ? 0.03 : 0.0);
  }

  SvgCanvas canvas(width, height, title.empty() ? y_title : title);
  canvas.Title(title);
  double top = title.empty() ? 4 : 26;
  const auto y_ticks = NiceTicks(y_range.low, y_range.high, 6);
  const double left = LeftMargin(y_ticks, y_title);
  top += canvas.Legend(left, top, width - left - 10, legend, markers) + 6;
  const Frame frame{left, top, width - 14.0, height - (x_title.empty() ? 26.0 : 44.0)};
  const Scale x{x_range.low, x_range.high, frame.left, frame.right, log_x};
  const Scale y{y_range.low, y_range.high, frame.bottom, frame.top, false};
  DrawYAxis(canvas, frame, y, y_ticks, y_title);
  std::vector<double> ticks;
  for (const double tick : x_ticks) {
    if (tick >= x_range.low && tick <= x_range.high) ticks.push_back(tick);
  }
  if (x_ticks.empty()) {
    ticks = log_x ? LogTicks(x_range.low, x_range.high) : NiceTicks(x_range.low, x_range.high, 7);
  }
  DrawXAxis(canvas, frame, x, ticks, x_title, false);
  for (size_t s = 0; s < series.size(); ++s) {
    DrawSeries(canvas, *this, series[s],
               series[s].color >= 0 ? series[s].color : static_cast<int>(s), x, y);
  }
  return canvas.Finish();
}

namespace {

// Words in as few lines as a width takes, px; a longer word has a line of its own.
std::vector<std::string> WrapWords(const std::string& text, double width) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!lines.empty() && TextWidth(lines.back() + " " + word) <= width) {
      lines.back() += " " + word;
    } else {
      lines.push_back(std::move(word));
    }
  }
  return lines;
}

}  // namespace

std::string BarChart::Svg() const {
  Range data;
  std::vector<std::pair<std::string, int>> legend;
  for (size_t s = 0; s < series.size(); ++s) {
    for (size_t c = 0; c < categories.size(); ++c) {
      data.Take(At(series[s].values, c));
      data.Take(At(series[s].low, c));
      data.Take(At(series[s].high, c));
    }
    if (!series[s].name.empty()) {
      legend.emplace_back(series[s].name,
                          series[s].color >= 0 ? series[s].color : static_cast<int>(s));
    }
  }
  if (data.empty() || categories.empty()) return NoData(width, title);
  data.Take(0);
  Range range = data;
  const double pad = data.high > data.low ? 0.05 * (data.high - data.low) : 1;
  if (data.high > 0 || data.low == data.high) range.high += pad;
  if (data.low < 0) range.low -= pad;
  if (std::isfinite(y_min)) range.low = y_min;
  if (std::isfinite(y_max)) range.high = y_max;
  if (range.high <= range.low) range.high = range.low + 1;

  SvgCanvas canvas(width, height, title.empty() ? y_title : title);
  canvas.Title(title);
  double top = title.empty() ? 4 : 26;
  const auto ticks = NiceTicks(range.low, range.high, 6);
  const double left = LeftMargin(ticks, y_title);
  top += canvas.Legend(left, top, width - left - 10, legend, false) + 6;
  const double slot = (width - 14.0 - left) / static_cast<double>(categories.size());
  std::vector<std::vector<std::string>> labels;
  size_t lines = 1;
  for (const std::string& category : categories) {
    labels.push_back(WrapWords(category, slot - 6));
    lines = std::max(lines, labels.back().size());
  }
  constexpr double kLine = 14;
  const Frame frame{left, top, width - 14.0,
                    height - 28.0 - kLine * static_cast<double>(lines - 1)};
  const Scale y{range.low, range.high, frame.bottom, frame.top, false};
  DrawYAxis(canvas, frame, y, ticks, y_title);
  const double bar = std::min(0.76 * slot / static_cast<double>(series.size()), 64.0);
  const double base = y(std::clamp(0.0, range.low, range.high));
  for (size_t c = 0; c < categories.size(); ++c) {
    const double middle = frame.left + (static_cast<double>(c) + 0.5) * slot;
    for (size_t s = 0; s < series.size(); ++s) {
      const double value = At(series[s].values, c);
      if (!std::isfinite(value)) continue;
      const int color = series[s].color >= 0 ? series[s].color : static_cast<int>(s);
      const double x =
          middle + (static_cast<double>(s) - 0.5 * static_cast<double>(series.size())) * bar;
      const double end = y(std::clamp(value, range.low, range.high));
      canvas.Rect(x + 1, std::min(base, end), bar - 2, std::abs(base - end),
                  "rx=\"1.5\" fill=\"" + PaletteColor(color) + "\"",
                  fmt::format("{} {}: {}", series[s].name, categories[c], ShortNumber(value)));
      const double low = At(series[s].low, c), high = At(series[s].high, c);
      if (!std::isfinite(low) || !std::isfinite(high)) continue;
      const std::string stroke = "stroke=\"currentColor\" stroke-width=\"1.3\"";
      const double y1 = y(std::clamp(low, range.low, range.high));
      const double y2 = y(std::clamp(high, range.low, range.high));
      canvas.Line(x + bar / 2, y1, x + bar / 2, y2, stroke);
      canvas.Line(x + bar / 2 - 4, y1, x + bar / 2 + 4, y1, stroke);
      canvas.Line(x + bar / 2 - 4, y2, x + bar / 2 + 4, y2, stroke);
    }
    for (size_t l = 0; l < labels[c].size(); ++l) {
      canvas.Text(middle, frame.bottom + 18 + kLine * static_cast<double>(l), labels[c][l],
                  "middle");
    }
  }
  canvas.Line(frame.left, base, frame.right, base,
              "stroke=\"currentColor\" stroke-opacity=\"0.55\"");
  return canvas.Finish();
}

}  // namespace eosin::core
