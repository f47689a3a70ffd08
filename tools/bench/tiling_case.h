// SPDX-License-Identifier: Apache-2.0
// What the tiling benchmark measures: cases, the clock and the line it prints.
//
// Cases, on slides with a sidecar <slide>.json that names square regions wholly inside tissue
// (two of them 8,000 px a side on a 30,000 px slide):
//   a  256 px at level 0 without overlap (aligned to stored tiles of 256 px)
//   b  the same grid, given a slide of 240-px tiles
//   c  256 px at level 0 every 128 px, in the upper half of one region
//   d  256 px at 1.0 um/px
//   w  the stored tiles that are at least half tissue by <slide>.mask.png, over the whole slide
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace eosin::bench {

inline constexpr int kPatch = 256;          // output pixels
inline constexpr double kResampledMpp = 1;  // case d, um/px

struct Place {
  int64_t x, y;  // level 0
};

struct Region {
  int64_t x, y, width, height;
};

struct Case {
  std::string name;
  std::filesystem::path slide;
  std::filesystem::path mask;  // case w
  double mpp = 0;              // of level 0
  double side = 0;             // of a patch, level-0 px
  double step = 0;             // level-0 px
  int tile = 0;                // side of stored tiles
  std::vector<Region> regions;
  std::vector<Place> patches;  // row by row

  bool resampled() const { return name == "d"; }
  int ReadSide() const { return static_cast<int>(side + 0.5); }  // whole level-0 px
};

// Throws DataError without a sidecar or mask, ConfigError for an unknown case.
Case ReadCase(const std::filesystem::path& slide, const std::string& name);

struct Measured {
  int64_t patches = 0;
  int64_t tiles_covered = 0, tiles_decoded = 0;
  int64_t in_bytes = 0, out_bytes = 0;
  int workers = 1;
  std::string version;  // of the library measured
  std::string error;    // empty: it worked
};

// From construction to Print: wall time and CPU time (user + system of this process and of children
// that have ended).
class Clock {
 public:
  Clock();
  // One JSON line: case, mode, workers, patches, wall, cpu, rss_mb, in_bytes, out_bytes,
  // tiles_covered, tiles_decoded, version. Returns the exit code.
  int Print(const std::string& case_name, const std::string& mode, const Measured& measured) const;

 private:
  double wall_, cpu_;
};

}  // namespace eosin::bench
