// SPDX-License-Identifier: Apache-2.0
#include "engine/data/neighbours.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "core/base/error.h"

namespace eosin::engine {
namespace {

constexpr double kSlack = 1e-4;  // strides: rounding of coordinates must not lose a tile

int32_t CellOf(double position, double radius) {
  constexpr double kFar = 1 << 30;
  return static_cast<int32_t>(std::floor(std::clamp(position / radius, -kFar, kFar)));
}

}  // namespace

NeighbourIndex::NeighbourIndex(const ImageSource& source, double radius) : radius_(radius) {
  if (!(radius > 0) || !std::isfinite(radius)) {
    throw core::ConfigError("neighbour_radius = " + std::to_string(radius) + " is out of range",
                            "give a positive number of tile strides, such as 1.5");
  }
  const double cell = radius_ + kSlack;
  position_.assign(static_cast<size_t>(source.size()), -1);
  for (int64_t i = 0; i < source.size(); ++i) {
    const std::optional<TilePlace> place = source.place(i);
    if (!place) continue;
    entries_.push_back({place->slide, CellOf(place->y, cell), CellOf(place->x, cell), i,
                        static_cast<float>(place->x), static_cast<float>(place->y)});
  }
  if (entries_.empty()) {
    throw core::ConfigError("neighbours as positives need to know where the tiles lie",
                            "use tile stores (eosin tile), or set neighbour_probability = 0");
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.slide, a.cell_y, a.cell_x, a.index) <
           std::tie(b.slide, b.cell_y, b.cell_x, b.index);
  });
  for (size_t e = 0; e < entries_.size(); ++e) {
    position_[static_cast<size_t>(entries_[e].index)] = static_cast<int64_t>(e);
  }
}

template <typename Visit>
void NeighbourIndex::ForEachNear(int64_t index, Visit&& visit) const {
  const int64_t position = position_.at(static_cast<size_t>(index));
  if (position < 0) return;
  const Entry& own = entries_[static_cast<size_t>(position)];
  const double reach = (radius_ + kSlack) * (radius_ + kSlack);
  for (int32_t cell_y = own.cell_y - 1; cell_y <= own.cell_y + 1; ++cell_y) {
    auto entry = std::lower_bound(
        entries_.begin(), entries_.end(), std::make_tuple(own.slide, cell_y, own.cell_x - 1),
        [](const Entry& e, const std::tuple<int64_t, int32_t, int32_t>& key) {
          return std::tie(e.slide, e.cell_y, e.cell_x) < key;
        });
    for (; entry != entries_.end() && entry->slide == own.slide && entry->cell_y == cell_y &&
           entry->cell_x <= own.cell_x + 1;
         ++entry) {
      const double dx = double{entry->x} - own.x, dy = double{entry->y} - own.y;
      if (entry->index != index && dx * dx + dy * dy <= reach) visit(entry->index);
    }
  }
}

std::vector<int64_t> NeighbourIndex::Near(int64_t index) const {
  std::vector<int64_t> near;
  ForEachNear(index, [&](int64_t other) { near.push_back(other); });
  std::sort(near.begin(), near.end());
  return near;
}

std::optional<int64_t> NeighbourIndex::Pick(int64_t index, uint32_t draw) const {
  thread_local std::vector<int64_t> near;
  near.clear();
  ForEachNear(index, [&](int64_t other) { near.push_back(other); });
  if (near.empty()) return std::nullopt;
  return near[static_cast<size_t>((uint64_t{draw} * near.size()) >> 32)];
}

}  // namespace eosin::engine
