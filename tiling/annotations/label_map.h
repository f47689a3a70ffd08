// SPDX-License-Identifier: Apache-2.0
// Annotations to class masks of tiles.
//
// Classes: id 0 is what is not annotated. A class is given an id, or a role:
//   background  0 in masks: takes back what lies below it, as ASAP and Camelyon draw holes
//   ignore      255 in masks; losses and metrics skip it
//   include     tiles lie only where such regions are (the class itself has no id)
//   exclude     no tile may touch such a region
// Where regions overlap, the later one in the file wins; holes belong to what is below. Include and
// exclude regions do not show in masks.
// A pixel is inside when its centre is: inside the outer ring (even-odd) and outside every hole
// (even-odd each). A centre exactly on a left or upper edge is inside, on a right or lower edge
// outside, so regions that share an edge neither overlap nor leave a gap.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/image/image.h"
#include "tiling/annotations/annotation.h"

namespace eosin::tiling {

inline constexpr uint8_t kIgnoreLabel = 255;
inline constexpr char kUnclassified[] = "unclassified";

struct ClassMap {
  enum class Role { kClass, kIgnore, kInclude, kExclude };
  struct Entry {
    Role role = Role::kClass;
    uint8_t id = 0;
  };
  // By class name, case-sensitive; regions without a class go by kUnclassified. Background is a
  // class of id 0. Several classes may share an id.
  std::map<std::string, Entry> entries;

  // "tumor=1,stroma=2,artefact=ignore,pen=exclude,roi=include,hole=background". A name that holds a
  // comma or begins or ends with a blank or quote stands in double quotes, quotes inside doubled;
  // the last "=" parts name and value. Empty text: no class. ConfigError: no name, a name twice, an
  // id outside 1..254, an unknown role.
  static ClassMap Parse(const std::string& text);
  // Ids 1, 2, ... for the class names of these files in alphabetical (byte) order, each once; an
  // empty name counts as kUnclassified. ConfigError: more than 254.
  static ClassMap FromNames(const std::vector<std::string>& names);
  std::string ToString() const;  // Parse's form, sorted
};

// One slide's regions, indexed for drawing. Thread-safe once made.
class LabelMap {
 public:
  // DataError naming a class that the map does not know, and the classes it does know.
  LabelMap(std::vector<Annotation> annotations, const ClassMap& classes);
  ~LabelMap();
  LabelMap(LabelMap&&) noexcept;
  LabelMap& operator=(LabelMap&&) noexcept;

  // Class ids of a tile whose upper left corner is (x, y) in level-0 pixels: size x size pixels of
  // `downsample` level-0 pixels each (both above 0), one channel. Costs what lies near the tile.
  core::Image Draw(double x, double y, int size, double downsample) const;
  // May a tile lie on this level-0 square? No if an exclude region and the square have an area in
  // common (exact; lines that only touch do not count). With include regions: only if every level-0
  // pixel centre of the square is in one of them, so regions that share an edge count as one.
  bool Allows(int64_t x, int64_t y, int64_t side) const;
  bool empty() const;  // no region with a label

 private:
  struct Index;
  std::unique_ptr<Index> index_;
};

}  // namespace eosin::tiling
