// SPDX-License-Identifier: Apache-2.0
#include "tiling/annotations/box_index.h"

#include <algorithm>
#include <boost/geometry/geometries/box.hpp>
#include <boost/geometry/geometries/point.hpp>
#include <boost/geometry/index/rtree.hpp>
#include <iterator>

namespace eosin::tiling {
namespace {

namespace bg = boost::geometry;
using TreePoint = bg::model::point<double, 2, bg::cs::cartesian>;
using TreeBox = bg::model::box<TreePoint>;
using Entry = std::pair<TreeBox, uint32_t>;

constexpr size_t kFew = 8;

TreeBox ToTree(const Box& box) { return {{box.x0, box.y0}, {box.x1, box.y1}}; }

}  // namespace

struct BoxIndex::Tree {
  bg::index::rtree<Entry, bg::index::quadratic<16>> boxes;
};

Box BoxOf(const Ring& ring) {
  Box box{ring[0].x, ring[0].y, ring[0].x, ring[0].y};
  for (const Vertex& v : ring) {
    box.x0 = std::min(box.x0, v.x);
    box.y0 = std::min(box.y0, v.y);
    box.x1 = std::max(box.x1, v.x);
    box.y1 = std::max(box.y1, v.y);
  }
  return box;
}

BoxIndex::BoxIndex() = default;
BoxIndex::~BoxIndex() = default;
BoxIndex::BoxIndex(BoxIndex&&) noexcept = default;
BoxIndex& BoxIndex::operator=(BoxIndex&&) noexcept = default;

BoxIndex::BoxIndex(const std::vector<Box>& boxes) {
  if (boxes.size() <= kFew) {
    few_ = boxes;
    return;
  }
  std::vector<Entry> entries;
  entries.reserve(boxes.size());
  for (size_t i = 0; i < boxes.size(); ++i) {
    entries.emplace_back(ToTree(boxes[i]), static_cast<uint32_t>(i));
  }
  tree_ = std::make_unique<Tree>(Tree{decltype(Tree::boxes)(entries)});
}

void BoxIndex::Find(const Box& box, std::vector<uint32_t>& found) const {
  found.clear();
  for (size_t i = 0; i < few_.size(); ++i) {
    const Box& b = few_[i];
    if (b.x0 <= box.x1 && b.x1 >= box.x0 && b.y0 <= box.y1 && b.y1 >= box.y0) {
      found.push_back(static_cast<uint32_t>(i));
    }
  }
  if (!tree_) return;
  const auto near = bg::index::intersects(ToTree(box));
  for (auto it = tree_->boxes.qbegin(near); it != tree_->boxes.qend(); ++it) {
    found.push_back(it->second);
  }
  std::sort(found.begin(), found.end());
}

}  // namespace eosin::tiling
