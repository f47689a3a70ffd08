// SPDX-License-Identifier: Apache-2.0
// ForestPlot and Heatmap.
#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/report/svg.h"
#include "core/report/svg_frame.h"

namespace eosin::core {

std::string ForestPlot::Svg() const {
  double low = zero, high = zero, label_width = 60, note_width = 40;
  std::vector<std::string> notes;
  for (const ForestRow& row : rows) {
    for (const double value : {row.estimate, row.low, row.high}) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
    std::string note = row.note;
    if (note.empty() && std::isfinite(row.estimate)) {
      note = fmt::format("{:+.{}f}", row.estimate, decimals);
      if (std::isfinite(row.low) && std::isfinite(row.high)) {
        note += fmt::format(" [{:+.{}f}, {:+.{}f}]", row.low, decimals, row.high, decimals);
      }
    }
    if (note.empty()) note = "not estimable";
    // Bold rows are wider.
    const double bold = row.primary ? 1.12 : 1.0;
    label_width = std::max(label_width, bold * TextWidth(row.label));
    note_width = std::max(note_width, bold * TextWidth(note));
    notes.push_back(std::move(note));
  }
  const double pad = high > low ? 0.08 * (high - low) : 0.5;
  low -= pad;
  high += pad;

  constexpr double kRow = 26;
  const double top = title.empty() ? 8 : 32;
  const double bottom = top + kRow * static_cast<double>(std::max<size_t>(rows.size(), 1)) + 4;
  const bool sides = !left_note.empty() || !right_note.empty();
  const int height = static_cast<int>(bottom + 28 + (x_title.empty() ? 0 : 18) + (sides ? 18 : 0));
  const double left = std::min(label_width + 14, 0.45 * width);
  const double right = std::max(width - note_width - 18, left + 120);
  const int total = std::max(width, static_cast<int>(right + note_width + 18));

  SvgCanvas canvas(total, height, title.empty() ? "forest plot" : title);
  canvas.Title(title);
  const Frame frame{left, top, right, bottom};
  const Scale x{low, high, left, right, false};
  DrawXAxis(canvas, frame, x, NiceTicks(low, high, 6), "", true);
  canvas.Line(x(zero), top - 2, x(zero), bottom,
              "stroke=\"currentColor\" stroke-width=\"1.4\" stroke-dasharray=\"4 3\"");
  double below = bottom + 36;
  if (sides) {
    if (!left_note.empty()) canvas.Text(x(zero) - 8, below, "\xE2\x97\x80 " + left_note, "end");
    if (!right_note.empty()) canvas.Text(x(zero) + 8, below, right_note + " \xE2\x96\xB6", "start");
    below += 18;
  }
  if (!x_title.empty()) canvas.Text((left + right) / 2, below, x_title, "middle");

  for (size_t i = 0; i < rows.size(); ++i) {
    const ForestRow& row = rows[i];
    const double y = top + kRow * (static_cast<double>(i) + 0.5);
    const std::string weight = row.primary ? "font-weight=\"700\"" : "";
    const std::string color = PaletteColor(row.primary ? 1 : 0);
    canvas.Text(2, y + 4, row.label, "start", weight);
    canvas.Text(right + 12, y + 4, notes[i], "start",
                weight + " style=\"font-variant-numeric:tabular-nums\"");
    if (std::isfinite(row.low) && std::isfinite(row.high)) {
      const std::string stroke =
          fmt::format("stroke=\"{}\" stroke-width=\"{}\"", color, row.primary ? 3 : 2);
      canvas.Line(x(row.low), y, x(row.high), y, stroke);
      canvas.Line(x(row.low), y - 5, x(row.low), y + 5, stroke);
      canvas.Line(x(row.high), y - 5, x(row.high), y + 5, stroke);
    }
    if (std::isfinite(row.estimate)) {
      canvas.Marker(x(row.estimate), y, row.primary ? 3 : 1, row.primary ? 6 : 4.5, color,
                    row.label + ": " + notes[i]);
    }
  }
  return canvas.Finish();
}

std::string Heatmap::Svg() const {
  double label_width = 30, largest = 0;
  for (const std::string& row : rows) label_width = std::max(label_width, TextWidth(row));
  auto value_at = [&](size_t r, size_t c) {
    const size_t i = r * columns.size() + c;
    return i < values.size() ? values[i] : kNoValue;
  };
  for (const double value : values) {
    if (std::isfinite(value)) largest = std::max(largest, value);
  }
  // Wide column names widen the cells rather than overlap.
  double cell_width = cell;
  for (const std::string& column : columns)
    cell_width = std::max(cell_width, TextWidth(column) + 12);
  const double cell_height = 0.62 * cell;
  const double left = label_width + 14 + (row_title.empty() ? 0 : 20);
  const double top = (title.empty() ? 4 : 28) + (column_title.empty() ? 0 : 18) + 20;
  const double grid_width = cell_width * static_cast<double>(columns.size());
  const double grid_height = cell_height * static_cast<double>(rows.size());
  const int total = static_cast<int>(std::max(left + grid_width + 4, TextWidth(title) * 1.2 + 8));
  SvgCanvas canvas(total, static_cast<int>(top + grid_height + 6), title);
  canvas.Title(title);
  if (!column_title.empty()) canvas.Text(left + grid_width / 2, top - 24, column_title, "middle");
  if (!row_title.empty()) canvas.VerticalText(13, top + grid_height / 2, row_title);
  for (size_t c = 0; c < columns.size(); ++c) {
    canvas.Text(left + (static_cast<double>(c) + 0.5) * cell_width, top - 7, columns[c], "middle",
                "fill-opacity=\"0.8\"");
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const double y = top + static_cast<double>(r) * cell_height;
    canvas.Text(left - 8, y + cell_height / 2 + 4, rows[r], "end", "fill-opacity=\"0.8\"");
    double sum = 0;
    for (size_t c = 0; c < columns.size(); ++c) {
      if (std::isfinite(value_at(r, c))) sum += value_at(r, c);
    }
    for (size_t c = 0; c < columns.size(); ++c) {
      const double value = value_at(r, c), x = left + static_cast<double>(c) * cell_width;
      const double share = normalise_rows ? value / sum : value / largest;
      const bool known = std::isfinite(share);
      canvas.Rect(x + 1, y + 1, cell_width - 2, cell_height - 2,
                  fmt::format("rx=\"2\" fill=\"{}\" fill-opacity=\"{:.3f}\" "
                              "stroke=\"currentColor\" stroke-opacity=\"0.2\"",
                              PaletteColor(0), known ? 0.85 * std::clamp(share, 0.0, 1.0) : 0.0),
                  fmt::format("{} \xE2\x86\x92 {}: {}", rows[r], columns[c], ShortNumber(value)));
      const std::string text = !known           ? "n/a"
                               : normalise_rows ? fmt::format("{:.1f} %", 100 * share)
                                                : ShortNumber(value);
      canvas.Text(x + cell_width / 2, y + cell_height / 2 + 4, text, "middle",
                  known && share > 0.55 ? "style=\"fill:var(--on-color,#fff)\"" : "");
    }
  }
  return canvas.Finish();
}

}  // namespace eosin::core
