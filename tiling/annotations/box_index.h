// SPDX-License-Identifier: Apache-2.0
// Which of many boxes are near: a packed R-tree, for regions of a slide and holes of a region.
// Internal to this folder.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tiling/annotations/annotation.h"

namespace eosin::tiling {

struct Box {
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // closed
};

Box BoxOf(const Ring& ring);  // of at least one vertex

class BoxIndex {
 public:
  BoxIndex();
  explicit BoxIndex(const std::vector<Box>& boxes);
  ~BoxIndex();
  BoxIndex(BoxIndex&&) noexcept;
  BoxIndex& operator=(BoxIndex&&) noexcept;

  // Indices of the boxes that meet `box` (touching counts), ascending, in place of what `found`
  // held.
  void Find(const Box& box, std::vector<uint32_t>& found) const;

 private:
  struct Tree;
  std::vector<Box> few_;  // too few for a tree
  std::unique_ptr<Tree> tree_;
};

}  // namespace eosin::tiling
