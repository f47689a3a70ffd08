// SPDX-License-Identifier: Apache-2.0
#include "tiling/annotations/label_map.h"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "tiling/annotations/polygon_raster.h"

namespace eosin::tiling {
namespace {

// Polygons in file order and where they are.
struct Layer {
  std::vector<IndexedPolygon> polygons;
  std::vector<uint8_t> labels;  // of each polygon
  BoxIndex boxes;

  void Add(const Polygon& polygon, uint8_t label) {
    if (polygon.outer.empty()) return;
    polygons.emplace_back(polygon);
    labels.push_back(label);
  }
  void Finish() {
    std::vector<Box> all;
    all.reserve(polygons.size());
    for (const IndexedPolygon& polygon : polygons) all.push_back(polygon.box());
    boxes = BoxIndex(all);
  }
};

std::string KnownClasses(const ClassMap& classes) {
  std::string known;
  for (const auto& [name, entry] : classes.entries) {
    known += known.empty() ? name : ", " + name;
    if (known.size() > 200) return known + ", ...";
  }
  return known.empty() ? "none" : known;
}

// Writes `label` where the block has ones.
void Paint(BitBlock& block, uint8_t label, core::Image& mask) {
  for (int r = block.row0; r < block.row1; ++r) {
    const uint64_t* words = block.row(r);
    uint8_t* pixels = mask.row(r);
    for (int w = 0; w < block.words(); ++w) {
      uint64_t bits = words[w];
      uint8_t* at = pixels + static_cast<ptrdiff_t>(block.word0 + w) * 64;
      while (bits != 0) {
        const int begin = std::countr_zero(bits);
        const int length = std::countr_one(bits >> begin);
        std::memset(at + begin, label, static_cast<size_t>(length));
        if (begin + length == 64) break;
        bits &= ~uint64_t{0} << (begin + length);
      }
    }
  }
}

// Is every pixel centre of the grid in one of the layer's polygons?
bool CoversCentres(const Layer& layer, const std::vector<uint32_t>& near, const PixelGrid& grid) {
  const int words = (grid.columns + 63) / 64;
  const uint64_t last =
      grid.columns % 64 == 0 ? ~uint64_t{0} : (uint64_t{1} << (grid.columns % 64)) - 1;
  std::vector<uint64_t> covered(static_cast<size_t>(grid.rows) * static_cast<size_t>(words), 0);
  BitBlock block, scratch;
  for (const uint32_t i : near) {
    if (!layer.polygons[i].Fill(grid, block, scratch)) continue;
    for (int r = block.row0; r < block.row1; ++r) {
      uint64_t* row = covered.data() + static_cast<size_t>(r) * static_cast<size_t>(words);
      for (int w = 0; w < block.words(); ++w) row[block.word0 + w] |= block.row(r)[w];
    }
  }
  for (size_t i = 0; i < covered.size(); ++i) {
    const bool is_last = (i + 1) % static_cast<size_t>(words) == 0;
    if (covered[i] != (is_last ? last : ~uint64_t{0})) return false;
  }
  return true;
}

}  // namespace

struct LabelMap::Index {
  Layer labels, include, exclude;
};

LabelMap::LabelMap(std::vector<Annotation> annotations, const ClassMap& classes)
    : index_(std::make_unique<Index>()) {
  for (Annotation& annotation : annotations) {
    const std::string& name = annotation.class_of.empty() ? kUnclassified : annotation.class_of;
    const auto known = classes.entries.find(name);
    if (known == classes.entries.end()) {
      throw core::DataError(
          fmt::format("the annotations hold a region of class '{}', which the class map does not "
                      "know (it knows {})",
                      name, KnownClasses(classes)),
          fmt::format("give the class an id or a role, for example {}=ignore", name));
    }
    for (const Polygon& polygon : annotation.polygons) {
      switch (known->second.role) {
        case ClassMap::Role::kClass:
          index_->labels.Add(polygon, known->second.id);
          break;
        case ClassMap::Role::kIgnore:
          index_->labels.Add(polygon, kIgnoreLabel);
          break;
        case ClassMap::Role::kInclude:
          index_->include.Add(polygon, 0);
          break;
        case ClassMap::Role::kExclude:
          index_->exclude.Add(polygon, 0);
          break;
      }
    }
    annotation.polygons = {};  // the index holds them now
  }
  index_->labels.Finish();
  index_->include.Finish();
  index_->exclude.Finish();
}

LabelMap::~LabelMap() = default;
LabelMap::LabelMap(LabelMap&&) noexcept = default;
LabelMap& LabelMap::operator=(LabelMap&&) noexcept = default;

bool LabelMap::empty() const { return index_->labels.polygons.empty(); }

core::Image LabelMap::Draw(double x, double y, int size, double downsample) const {
  if (size < 1 || !(downsample > 0) || !std::isfinite(x + y + downsample * size)) {
    throw core::ConfigError(
        fmt::format("a mask of {} pixels at downsample {} cannot be drawn", size, downsample),
        "size and downsample must be above 0");
  }
  core::Image mask(size, size, 1);
  const PixelGrid grid{x, y, downsample, size, size};
  const Layer& layer = index_->labels;
  std::vector<uint32_t> near;
  layer.boxes.Find(grid.Extent(), near);
  BitBlock block, scratch;
  for (const uint32_t i : near) {
    if (layer.polygons[i].Fill(grid, block, scratch)) Paint(block, layer.labels[i], mask);
  }
  return mask;
}

bool LabelMap::Allows(int64_t x, int64_t y, int64_t side) const {
  const auto left = static_cast<double>(x), top = static_cast<double>(y);
  const auto length = static_cast<double>(side);
  const Box square{left, top, left + length, top + length};
  std::vector<uint32_t> near;
  index_->exclude.boxes.Find(square, near);
  for (const uint32_t i : near) {
    if (index_->exclude.polygons[i].Meets(square)) return false;
  }
  const Layer& include = index_->include;
  if (include.polygons.empty()) return true;
  include.boxes.Find(square, near);
  for (const uint32_t i : near) {
    if (include.polygons[i].Covers(square)) return true;
  }
  // Several regions may cover the square together. In strips, so that memory stays small.
  constexpr int64_t kStrip = 64;
  for (int64_t row = 0; row < side; row += kStrip) {
    for (int64_t column = 0; column < side; column += int64_t{64} * kStrip) {
      const PixelGrid grid{left + static_cast<double>(column), top + static_cast<double>(row), 1,
                           static_cast<int>(std::min(int64_t{64} * kStrip, side - column)),
                           static_cast<int>(std::min(kStrip, side - row))};
      if (!CoversCentres(include, near, grid)) return false;
    }
  }
  return true;
}

}  // namespace eosin::tiling
