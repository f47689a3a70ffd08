// SPDX-License-Identifier: Apache-2.0
// Which slides to tile, and what the user knows of each.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace eosin::tiling {

struct SlideEntry {
  std::filesystem::path slide;
  double mpp = 0;                    // um per level-0 pixel; 0: the slide's own
  std::filesystem::path annotation;  // empty: none
  std::string class_name;            // of the whole slide; empty: none
  std::string patient;               // empty: not said
  std::string Stem() const { return slide.stem().string(); }
};

// Slide files named by files and folders (searched through), sorted, each once. DataError: a path
// that is missing, a folder without slides, two slides with one stem.
std::vector<SlideEntry> FindSlides(const std::vector<std::filesystem::path>& paths);

// A CSV with a header: `slide` (or CLAM's `slide_id`, TRIDENT's `wsi`) and any of mpp, annotation,
// class (or label), patient (or case_id), process (0 leaves the row out). Other columns are
// ignored, except that a name close to a known one is an error. Paths are relative to the CSV; a
// slide id without folder or extension is looked for in `folders`. DataError names the line.
std::vector<SlideEntry> ReadSlideList(const std::filesystem::path& csv,
                                      const std::vector<std::filesystem::path>& folders);

// Shard i of n (1 <= i <= n): every n-th entry from the i-th; the shards of a list are disjoint and
// together all of it.
std::vector<SlideEntry> TakeShard(const std::vector<SlideEntry>& entries, int i, int n);

}  // namespace eosin::tiling
