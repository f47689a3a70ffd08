// SPDX-License-Identifier: Apache-2.0
#include "core/report/svg.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/report/svg_frame.h"

namespace eosin::core {

std::string EscapeXml(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += (static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t') ? ' ' : c;
    }
  }
  return out;
}

std::vector<double> NiceTicks(double low, double high, int count) {
  if (!std::isfinite(low) || !std::isfinite(high) || high < low || count < 1) return {};
  if (high == low) return {low};
  const double raw = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= 0.7 * raw) {  // up to 1.4 times the ticks asked for
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  const double first = std::ceil(low / step - 1e-9);
  for (int i = 0; i < 1000; ++i) {
    const double tick = (first + i) * step;
    if (tick > high + 1e-9 * step) break;
    ticks.push_back(std::abs(tick) < 1e-9 * step ? 0.0 : tick);
  }
  return ticks;
}

std::vector<double> LogTicks(double low, double high) {
  std::vector<double> ticks;
  const bool powers_only = std::log10(high / low) > 2.0;
  for (int power = static_cast<int>(std::floor(std::log10(low))); power <= 300; ++power) {
    const double base = std::pow(10.0, power);
    if (base > high * (1 + 1e-9)) break;
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (powers_only && factor > 1) continue;
      const double tick = factor * base;
      if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push_back(tick);
    }
  }
  return ticks;
}

std::string ShortNumber(double value) {
  if (!std::isfinite(value)) return "n/a";
  const double size = std::abs(value);
  if (size != 0 && (size < 1e-4 || size >= 1e9)) return fmt::format("{:.3g}", value);
  if (size >= 1000) {
    std::string digits = fmt::format("{:.0f}", size);
    for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
    return (value < 0 ? "-" : "") + digits;
  }
  // Four significant digits without trailing zeros and without exponents.
  std::string text = fmt::format("{:.{}f}", value, size >= 100 ? 1 : size >= 10 ? 2 : 4);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

double Scale::operator()(double value) const {
  const double share =
      log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  return from + share * (to - from);
}

std::string PaletteColor(int index) {
  static const char* const kOkabeIto[8] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                           "#E69F00", "#56B4E9", "#B8A900", "#777777"};
  const int i = ((index % 8) + 8) % 8;
  return fmt::format("var(--c{},{})", i, kOkabeIto[i]);
}

double TextWidth(const std::string& text) {
  double width = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) == 0x80) continue;  // UTF-8 continuation
    const bool narrow = c == '.' || c == ',' || c == 'i' || c == 'l' || c == ' ' || c == '|';
    width += narrow                                           ? 3.9
             : (c >= 'A' && c <= 'Z') || c == 'm' || c == 'w' ? 9.4
             : c == '+'                                       ? 10
                                                              : 7.5;
  }
  return width;
}

SvgCanvas::SvgCanvas(int width, int height, const std::string& label) {
  svg_ = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\" aria-label=\"{2}\" font-size=\"12\" fill=\"currentColor\" "
      "font-family=\"system-ui,'DejaVu Sans',sans-serif\">\n",
      width, height, EscapeXml(label));
}

void SvgCanvas::Line(double x1, double y1, double x2, double y2, const std::string& style) {
  svg_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1,
                      y1, x2, y2, style);
}

void SvgCanvas::Rect(double x, double y, double w, double h, const std::string& style,
                     const std::string& hover) {
  svg_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" {}", x, y,
                      w, h, style);
  svg_ += hover.empty() ? "/>\n" : "><title>" + EscapeXml(hover) + "</title></rect>\n";
}

void SvgCanvas::Text(double x, double y, const std::string& text, const std::string& anchor,
                     const std::string& style) {
  svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}>{}</text>\n", x, y,
                      anchor, style, EscapeXml(text));
}

void SvgCanvas::VerticalText(double x, double y, const std::string& text) {
  svg_ += fmt::format(
      "<text transform=\"translate({:.1f},{:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
      x, y, EscapeXml(text));
}

void SvgCanvas::Path(const std::string& d, const std::string& style) {
  svg_ += "<path d=\"" + d + "\" " + style + "/>\n";
}

void SvgCanvas::Marker(double x, double y, int shape, double r, const std::string& color,
                       const std::string& hover) {
  std::string d;
  switch (((shape % 4) + 4) % 4) {
    case 0:
      d = fmt::format(
          "M{:.1f} {:.1f}a{r:.1f} {r:.1f} 0 1 0 {:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {:.1f} 0z", x - r, y,
          2 * r, -2 * r, fmt::arg("r", r));
      break;
    case 1:
      d = fmt::format("M{:.1f} {:.1f}h{s:.1f}v{s:.1f}h{:.1f}z", x - 0.9 * r, y - 0.9 * r, -1.8 * r,
                      fmt::arg("s", 1.8 * r));
      break;
    case 2:
      d = fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}z", x, y - 1.2 * r, x + 1.1 * r,
                      y + 0.8 * r, x - 1.1 * r, y + 0.8 * r);
      break;
    default:
      d = fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}z", x, y - 1.3 * r,
                      x + 1.3 * r, y, x, y + 1.3 * r, x - 1.3 * r, y);
  }
  svg_ += "<path d=\"" + d + "\" fill=\"" + color + "\"";
  svg_ += hover.empty() ? "/>\n" : "><title>" + EscapeXml(hover) + "</title></path>\n";
}

void SvgCanvas::Title(const std::string& text) {
  if (!text.empty()) Text(2, 16, text, "start", "font-size=\"14\" font-weight=\"600\"");
}

namespace {

// Calls place(entry, x, y) for each entry, wrapping rows; returns the height used.
template <typename Place>
double LayOutLegend(double x, double y, double width,
                    const std::vector<std::pair<std::string, int>>& entries, Place&& place) {
  if (entries.empty()) return 0;
  double at = x, row = 0;
  for (const auto& entry : entries) {
    const double need = 26 + TextWidth(entry.first) + 16;
    if (at > x && at + need > x + width) {
      at = x;
      row += 18;
    }
    place(entry, at, y + row);
    at += need;
  }
  return row + 20;
}

}  // namespace

double SvgCanvas::LegendHeight(double width,
                               const std::vector<std::pair<std::string, int>>& entries) {
  return LayOutLegend(0, 0, width, entries, [](const auto&, double, double) {});
}

double SvgCanvas::Legend(double x, double y, double width,
                         const std::vector<std::pair<std::string, int>>& entries, bool markers) {
  return LayOutLegend(x, y, width, entries, [&](const auto& entry, double at, double row) {
    const std::string color = PaletteColor(entry.second);
    Rect(at, row + 5, 20, 4, "rx=\"2\" fill=\"" + color + "\"");
    if (markers) Marker(at + 10, row + 7, entry.second, 4, color);
    Text(at + 26, row + 11, entry.first, "start");
  });
}

namespace {
constexpr const char* kGrid = "stroke=\"currentColor\" stroke-opacity=\"0.13\"";
constexpr const char* kAxis = "stroke=\"currentColor\" stroke-opacity=\"0.55\"";
constexpr const char* kTickText = "fill-opacity=\"0.8\"";
}  // namespace

void DrawYAxis(SvgCanvas& canvas, const Frame& frame, const Scale& y,
               const std::vector<double>& ticks, const std::string& title) {
  double widest = 0;
  for (const double tick : ticks) {
    const double at = y(tick);
    canvas.Line(frame.left, at, frame.right, at, kGrid);
    canvas.Text(frame.left - 6, at + 4, ShortNumber(tick), "end", kTickText);
    widest = std::max(widest, TextWidth(ShortNumber(tick)));
  }
  canvas.Line(frame.left, frame.top, frame.left, frame.bottom, kAxis);
  if (!title.empty()) {
    canvas.VerticalText(std::max(12.0, frame.left - widest - 16), (frame.top + frame.bottom) / 2,
                        title);
  }
}

void DrawXAxis(SvgCanvas& canvas, const Frame& frame, const Scale& x,
               const std::vector<double>& ticks, const std::string& title, bool grid) {
  double free_from = -1e9;
  for (const double tick : ticks) {
    const double at = x(tick);
    if (grid) canvas.Line(at, frame.top, at, frame.bottom, kGrid);
    canvas.Line(at, frame.bottom, at, frame.bottom + 4, kAxis);
    const std::string text = ShortNumber(tick);
    const double half = TextWidth(text) / 2;
    if (at - half < free_from) continue;  // labels never overlap
    canvas.Text(at, frame.bottom + 18, text, "middle", kTickText);
    free_from = at + half + 4;
  }
  canvas.Line(frame.left, frame.bottom, frame.right, frame.bottom, kAxis);
  if (!title.empty()) {
    canvas.Text((frame.left + frame.right) / 2, frame.bottom + 36, title, "middle");
  }
}

}  // namespace eosin::core
