// SPDX-License-Identifier: Apache-2.0
// Outlines of a label map that comes row by row. A region is a patch of 4-connected pixels of one
// label; its outline runs along the pixels' edges (cracks), with corners only where it turns. A
// region leaves memory, and goes to the sink, as soon as no row can touch it any more; only its
// corners are kept, never its pixels.
//
// Orientation in picture coordinates (y down): the region lies to the right of its outline, so the
// outer ring has positive shoelace area, holes negative. Rings are not closed by repeating the
// first vertex. A ring may pass a corner twice where pixels touch only diagonally; SplitRings
// (outline.h) takes that apart.
//
// Should the corners in memory exceed `max_corners`, all regions are cut along that row and go on
// as new ones, so that memory is bounded whatever the labels.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace eosin::segment {

struct Corner {
  int32_t x = 0, y = 0;  // between pixels: 0..width, 0..height
  bool operator==(const Corner&) const = default;
};
using Outline = std::vector<Corner>;

struct TracedRegion {
  uint8_t label = 0;
  int64_t pixels = 0;
  std::vector<Outline> rings;  // the outer one and the holes, in any order
};

class PolygonTracer {
 public:
  using Sink = std::function<void(const TracedRegion& region)>;

  // traced[label]: are regions of this label wanted?
  PolygonTracer(int64_t width, std::vector<bool> traced, Sink sink,
                int64_t max_corners = int64_t{1} << 24);

  void AddRow(const uint8_t* labels);
  void Finish();  // after the last row
  int64_t cuts() const { return cuts_; }
  int64_t corners() const { return live_; }

 private:
  static constexpr int32_t kNone = -1;
  struct Node {  // a corner; chains of them grow at both ends
    Corner at;
    int32_t next = kNone;   // towards the head
    int32_t other = kNone;  // of an end: the chain's other end
  };
  struct Ring {
    int32_t first;
    int32_t next = kNone;  // ring of the same region
  };
  struct Run {
    int32_t begin, end, region;
    uint8_t label;
  };
  struct Region {
    int32_t parent = kNone;  // union-find
    int32_t first_ring = kNone, last_ring = kNone;
    int64_t pixels = 0;
    int64_t last_row = 0;
    uint8_t label = 0;
  };

  int32_t NewNode(Corner at);
  int32_t NewRegion(uint8_t label);
  int32_t Root(int32_t region);
  void Unite(int32_t a, int32_t b);
  void FindRuns(const uint8_t* labels);
  void TraceLine(const uint8_t* above, const uint8_t* below);
  void TraceCorner(int64_t x, uint8_t tl, uint8_t tr, uint8_t bl, uint8_t br);
  int32_t Append(int32_t head, Corner at);
  int32_t Prepend(int32_t tail, Corner at);
  void Join(int32_t head, int32_t tail, Corner at, int64_t pixel);
  int32_t RegionAt(int64_t pixel);
  void EndAll();
  void EmitFinished();
  void Emit(int32_t region);

  const int64_t width_;
  const std::vector<bool> traced_;
  const Sink sink_;
  const int64_t max_corners_;
  int64_t y_ = 0;  // rows so far
  int64_t live_ = 0, cuts_ = 0;
  std::vector<uint8_t> above_, blank_;
  std::vector<Node> nodes_;
  std::vector<int32_t> free_nodes_;
  std::vector<Ring> rings_;
  std::vector<int32_t> free_rings_;
  std::vector<Region> regions_;
  std::vector<int32_t> free_regions_, merged_;
  std::vector<Run> runs_, old_runs_;  // of the row below the line and the row above it
  size_t search_ = 0;
  // Ends at the vertical cracks that the line meets from above, then those it leaves downwards: the
  // head of the left pixel's chain, the tail of the right pixel's.
  std::vector<int32_t> head_, tail_;
  int32_t east_head_ = kNone, east_tail_ = kNone;  // at the horizontal crack
  TracedRegion out_;
};

}  // namespace eosin::segment
