// SPDX-License-Identifier: Apache-2.0
// Annotations to class masks of tiles.
//
// Classes: id 0 is what is not annotated. A class is given an id, or a role:
//   ignore    255 in masks; losses and metrics skip it
//   include   tiles lie only where such regions are (the class itself has no id)
//   exclude   no tile may touch such a region
// Where regions overlap, the later one in the file wins; holes belong to what is below.
// A pixel is inside when its centre is (even-odd rule).
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

struct ClassMap {
  enum class Role { kClass, kIgnore, kInclude, kExclude };
  struct Entry {
    Role role = Role::kClass;
    uint8_t id = 0;
  };
  std::map<std::string, Entry> entries;  // by class name, case-sensitive

  // "tumor=1,stroma=2,artefact=ignore,pen=exclude,roi=include". ConfigError.
  static ClassMap Parse(const std::string& text);
  // Ids 1, 2, ... for the class names of these files in alphabetical order.
  static ClassMap FromNames(const std::vector<std::string>& names);
  std::string ToString() const;  // Parse's form, sorted
};

// One slide's regions, indexed for drawing. Thread-safe once made.
class LabelMap {
 public:
  // DataError naming a class that the map does not know.
  LabelMap(std::vector<Annotation> annotations, const ClassMap& classes);
  ~LabelMap();
  LabelMap(LabelMap&&) noexcept;

  // Class ids of a tile whose upper left corner is (x, y) in level-0 pixels: size x size pixels of
  // `downsample` level-0 pixels each.
  core::Image Draw(double x, double y, int size, double downsample) const;
  // May a tile lie on this level-0 square? Wholly inside the include regions, if there are any, and
  // off every exclude region.
  bool Allows(int64_t x, int64_t y, int64_t side) const;
  bool empty() const;  // no region with a label

 private:
  struct Index;
  std::unique_ptr<Index> index_;
};

}  // namespace eosin::tiling
