// SPDX-License-Identifier: Apache-2.0
#include "tiling/synth/regions.h"

#include <algorithm>
#include <cstdlib>

namespace eosin::tiling {
namespace {

// Sums over rectangles in constant time: table(r, c) = sum of cells above and left of (r, c).
std::vector<int64_t> SumTable(const std::vector<uint16_t>& cells, int64_t columns, int64_t rows) {
  std::vector<int64_t> table((columns + 1) * (rows + 1), 0);
  for (int64_t r = 0; r < rows; ++r) {
    int64_t line = 0;
    for (int64_t c = 0; c < columns; ++c) {
      line += cells[r * columns + c];
      table[(r + 1) * (columns + 1) + c + 1] = table[r * (columns + 1) + c + 1] + line;
    }
  }
  return table;
}

}  // namespace

std::vector<RegionPlace> ChooseRegions(const ContentMap& map, int64_t size, int64_t count,
                                       core::PhiloxStream stream) {
  const auto tissue = SumTable(map.tissue, map.columns, map.rows);
  const auto gland = SumTable(map.gland, map.columns, map.rows);
  const int64_t side = std::max<int64_t>(size / ContentMap::kCell, 1);
  const int64_t step = std::max<int64_t>(side / 8, 1);
  const double area = static_cast<double>(side * side) * ContentMap::kCell * ContentMap::kCell;
  auto share = [&](const std::vector<int64_t>& table, int64_t c, int64_t r) {
    const int64_t width = map.columns + 1;
    return static_cast<double>(table[(r + side) * width + c + side] - table[r * width + c + side] -
                               table[(r + side) * width + c] + table[r * width + c]) /
           area;
  };
  std::vector<RegionPlace> good, fair, chosen;
  // The last cell column and row may be cut by the slide's edge: + size stays inside.
  for (int64_t r = 0; r + side < map.rows; r += step) {
    for (int64_t c = 0; c + side < map.columns; c += step) {
      const double t = share(tissue, c, r), g = share(gland, c, r);
      const RegionPlace place{c * ContentMap::kCell, r * ContentMap::kCell};
      if (t >= 0.9 && g >= 0.10 && g <= 0.80) {
        good.push_back(place);
      } else if (t >= 0.6 && g >= 0.03 && g <= 0.95) {
        fair.push_back(place);
      }
    }
  }
  core::Shuffle(good, stream);
  core::Shuffle(fair, stream);
  for (const auto* places : {&good, &fair}) {
    for (const RegionPlace& place : *places) {
      if (static_cast<int64_t>(chosen.size()) == count) return chosen;
      const bool free = std::none_of(chosen.begin(), chosen.end(), [&](const RegionPlace& other) {
        return std::abs(other.x - place.x) < size && std::abs(other.y - place.y) < size;
      });
      if (free) chosen.push_back(place);
    }
  }
  return chosen;
}

}  // namespace eosin::tiling
