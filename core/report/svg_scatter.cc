// SPDX-License-Identifier: Apache-2.0
// ScatterChart. A class is one path of zero-length strokes whose caps are the points: round, square
// or (thin) a cross, so that thousands of points stay small.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/philox.h"
#include "core/report/svg.h"
#include "core/report/svg_frame.h"

namespace eosin::core {
namespace {

constexpr int kColors = 8;
constexpr int kShapes = 3;

int ShapeOf(int64_t group) { return static_cast<int>((group / kColors) % kShapes); }

std::string Point(double x, double y, int shape, double radius) {
  // Tenths of a pixel would double the bytes and show nothing.
  if (shape < 2) return fmt::format("M{:.1f} {:.1f}h0", x, y);
  return fmt::format("M{:.1f} {:.1f}l{r:.1f} {r:.1f}m0-{r:.1f}l-{r:.1f} {r:.1f}", x - radius,
                     y - radius, fmt::arg("r", 2 * radius));
}

std::string Style(int64_t group, int shape, double radius) {
  const std::string color =
      group < 0 ? "currentColor" : PaletteColor(static_cast<int>(group % kColors));
  return fmt::format(
      "fill=\"none\" stroke=\"{}\" stroke-opacity=\"{}\" stroke-width=\"{:.1f}\" "
      "stroke-linecap=\"{}\"",
      color, group < 0 ? "0.25" : "0.7", shape == 2 ? 1.2 : 2 * radius,
      shape == 1 ? "square" : "round");
}

// One key a class; returns the height used.
double DrawKeys(SvgCanvas* canvas, double y, double width, const std::vector<std::string>& texts) {
  double at = 4, row = 0;
  for (size_t g = 0; g < texts.size(); ++g) {
    const double need = 16 + TextWidth(texts[g]) + 14;
    if (at > 4 && at + need > width) {
      at = 4;
      row += 18;
    }
    if (canvas) {
      const int shape = ShapeOf(static_cast<int64_t>(g));
      canvas->Path(Point(at + 5, y + row + 7, shape, 3.5),
                   Style(static_cast<int64_t>(g), shape, shape == 1 ? 3.5 : 4.5));
      canvas->Text(at + 15, y + row + 11, texts[g], "start");
    }
    at += need;
  }
  return texts.empty() ? 0 : row + 22;
}

}  // namespace

std::string ScatterChart::Svg() const {
  std::vector<size_t> shown;
  double low_x = 0, high_x = 0, low_y = 0, high_y = 0;
  for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
    if (!std::isfinite(x[i]) || !std::isfinite(y[i])) continue;
    if (shown.empty()) {
      low_x = high_x = x[i];
      low_y = high_y = y[i];
    }
    low_x = std::min(low_x, x[i]);
    high_x = std::max(high_x, x[i]);
    low_y = std::min(low_y, y[i]);
    high_y = std::max(high_y, y[i]);
    shown.push_back(i);
  }
  const std::string label = title.empty() ? "scatter plot" : title;
  if (shown.empty()) {
    SvgCanvas canvas(width, 60, label);
    canvas.Title(title);
    canvas.Text(2, 42, "no values to draw", "start", "fill-opacity=\"0.8\"");
    return canvas.Finish();
  }
  const size_t all = shown.size();
  const size_t most = static_cast<size_t>(std::max<int64_t>(max_points, 1));
  if (all > most) {
    // One of each run of points, by chance: fixed steps would lose classes that alternate.
    PhiloxStream draws(0, DrawPurpose::kAnalysis, 2, 0);
    for (size_t i = 0; i < most; ++i) {
      const size_t begin = i * all / most, end = (i + 1) * all / most;
      shown[i] = shown[begin + draws.Below(static_cast<uint32_t>(end - begin))];
    }
    shown.resize(most);
  }
  const auto group_of = [&](size_t i) {
    return i < groups.size() ? std::max<int64_t>(groups[i], -1) : int64_t{-1};
  };
  int64_t last = -1;
  for (const size_t i : shown) last = std::max(last, group_of(i));
  std::vector<std::vector<size_t>> members(static_cast<size_t>(last + 2));
  for (const size_t i : shown) members[static_cast<size_t>(group_of(i) + 1)].push_back(i);

  std::vector<std::string> keys;
  for (size_t g = 0; g < names.size(); ++g) {
    const size_t count = g + 1 < members.size() ? members[g + 1].size() : 0;
    keys.push_back(counts ? fmt::format("{} ({})", names[g], count) : names[g]);
  }
  SvgCanvas canvas(width, height, label);
  canvas.Title(title);
  const double top = (title.empty() ? 4 : 26) + 2;
  const double keys_height = DrawKeys(&canvas, top, width, keys);
  const Frame frame{2, top + keys_height, width - 2.0, height - (all > most ? 22.0 : 2.0)};
  canvas.Rect(frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top,
              "fill=\"none\" rx=\"4\" stroke=\"currentColor\" stroke-opacity=\"0.2\"");
  const double r =
      radius > 0 ? radius : std::clamp(90 / std::sqrt(static_cast<double>(shown.size())), 1.3, 4.0);
  // One scale for both directions: distances are what such a picture shows.
  const double room_x = frame.right - frame.left - 20, room_y = frame.bottom - frame.top - 20;
  const double scale = std::min(room_x / std::max(high_x - low_x, 1e-300),
                                room_y / std::max(high_y - low_y, 1e-300));
  const double middle_x = (frame.left + frame.right) / 2, middle_y = (frame.top + frame.bottom) / 2;
  const double offset_x = (low_x + high_x) / 2, offset_y = (low_y + high_y) / 2;
  for (size_t g = 0; g < members.size(); ++g) {
    if (members[g].empty()) continue;
    const int64_t group = static_cast<int64_t>(g) - 1;
    const int shape = group < 0 ? 0 : ShapeOf(group);
    std::string d;
    for (const size_t i : members[g]) {
      // A cloud of one place has no scale.
      const double dx = high_x > low_x ? (x[i] - offset_x) * scale : 0;
      const double dy = high_y > low_y ? (y[i] - offset_y) * scale : 0;
      d += Point(middle_x + dx, middle_y - dy, shape, r);
    }
    canvas.Path(d, Style(group, shape, r));
  }
  if (all > most) {
    canvas.Text(4, height - 6.0, fmt::format("{} of {} points", shown.size(), all), "start",
                "fill-opacity=\"0.8\"");
  }
  return canvas.Finish();
}

}  // namespace eosin::core
