// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/polygon_tracer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "segment/predict/predict_plan.h"

namespace eosin::segment {

PolygonTracer::PolygonTracer(int64_t width, std::vector<bool> traced, Sink sink,
                             int64_t max_corners)
    : width_(width),
      traced_(std::move(traced)),
      sink_(std::move(sink)),
      max_corners_(max_corners),
      // A frame of untraced pixels: labels of column x are at x + 1.
      above_(static_cast<size_t>(width) + 2, kNotPredicted),
      blank_(above_),
      head_(static_cast<size_t>(width) + 1, kNone),
      tail_(head_) {}

int32_t PolygonTracer::NewNode(Corner at) {
  ++live_;
  if (free_nodes_.empty()) {
    nodes_.push_back({at, kNone, kNone});
    return static_cast<int32_t>(nodes_.size()) - 1;
  }
  const int32_t node = free_nodes_.back();
  free_nodes_.pop_back();
  nodes_[static_cast<size_t>(node)] = {at, kNone, kNone};
  return node;
}

int32_t PolygonTracer::NewRegion(uint8_t label) {
  Region region;
  region.label = label;
  if (free_regions_.empty()) {
    regions_.push_back(region);
    return static_cast<int32_t>(regions_.size()) - 1;
  }
  const int32_t index = free_regions_.back();
  free_regions_.pop_back();
  regions_[static_cast<size_t>(index)] = region;
  return index;
}

int32_t PolygonTracer::Root(int32_t region) {
  while (regions_[static_cast<size_t>(region)].parent != kNone) {
    const int32_t parent = regions_[static_cast<size_t>(region)].parent;
    const int32_t above = regions_[static_cast<size_t>(parent)].parent;
    if (above != kNone) regions_[static_cast<size_t>(region)].parent = above;
    region = parent;
  }
  return region;
}

void PolygonTracer::Unite(int32_t a, int32_t b) {
  a = Root(a);
  b = Root(b);
  if (a == b) return;
  Region& into = regions_[static_cast<size_t>(a)];
  Region& from = regions_[static_cast<size_t>(b)];
  from.parent = a;
  into.pixels += from.pixels;
  if (from.first_ring != kNone) {
    if (into.first_ring == kNone) {
      into.first_ring = from.first_ring;
    } else {
      rings_[static_cast<size_t>(into.last_ring)].next = from.first_ring;
    }
    into.last_ring = from.last_ring;
  }
  merged_.push_back(b);
}

// Runs of the new row, joined to those of the same label above them.
void PolygonTracer::FindRuns(const uint8_t* labels) {
  std::swap(old_runs_, runs_);
  runs_.clear();
  size_t old = 0;
  for (int64_t x = 0; x < width_;) {
    const uint8_t label = labels[x];
    int64_t end = x + 1;
    // Long runs are the rule: eight pixels at a time.
    uint64_t same;
    std::memset(&same, label, sizeof same);
    for (uint64_t word; end + 8 <= width_; end += 8) {
      std::memcpy(&word, labels + end, sizeof word);
      if (word != same) break;
    }
    while (end < width_ && labels[end] == label) ++end;
    if (traced_[label]) {
      Run run{static_cast<int32_t>(x), static_cast<int32_t>(end), kNone, label};
      while (old < old_runs_.size() && old_runs_[old].end <= x) ++old;
      for (size_t i = old; i < old_runs_.size() && old_runs_[i].begin < end; ++i) {
        if (old_runs_[i].label != label) continue;
        if (run.region == kNone) {
          run.region = Root(old_runs_[i].region);
        } else {
          Unite(run.region, old_runs_[i].region);
        }
      }
      if (run.region == kNone) run.region = NewRegion(label);
      runs_.push_back(run);
    }
    x = end;
  }
  for (Run& run : runs_) {
    run.region = Root(run.region);
    Region& region = regions_[static_cast<size_t>(run.region)];
    region.pixels += run.end - run.begin;
    region.last_row = y_;
  }
  for (Run& run : old_runs_) run.region = Root(run.region);
  free_regions_.insert(free_regions_.end(), merged_.begin(), merged_.end());
  merged_.clear();
}

void PolygonTracer::AddRow(const uint8_t* labels) {
  if (live_ > max_corners_) {
    // All regions end at this line; what follows are new ones.
    EndAll();
    above_ = blank_;
    ++cuts_;
  }
  FindRuns(labels);
  std::vector<uint8_t> below = blank_;
  std::memcpy(below.data() + 1, labels, static_cast<size_t>(width_));
  TraceLine(above_.data(), below.data());
  EmitFinished();
  above_ = std::move(below);
  ++y_;
}

void PolygonTracer::Finish() { EndAll(); }

void PolygonTracer::EndAll() {
  std::swap(old_runs_, runs_);
  runs_.clear();
  TraceLine(above_.data(), blank_.data());
  EmitFinished();
}

void PolygonTracer::TraceLine(const uint8_t* above, const uint8_t* below) {
  search_ = 0;
  for (int64_t x = 0; x <= width_;) {
    // Skips corners amid one label, eight at a time.
    while (x + 9 <= width_) {
      uint64_t a0, a1, b0, b1;
      std::memcpy(&a0, above + x, 8);
      std::memcpy(&a1, above + x + 1, 8);
      std::memcpy(&b0, below + x, 8);
      std::memcpy(&b1, below + x + 1, 8);
      if (((a0 ^ a1) | (a0 ^ b0) | (b0 ^ b1)) != 0) break;
      x += 8;
    }
    const uint8_t tl = above[x], tr = above[x + 1], bl = below[x], br = below[x + 1];
    if (tl != tr || tl != bl || tl != br) TraceCorner(x, tl, tr, bl, br);
    ++x;
  }
}

// At a corner the cracks to the north and west are known, those to the south and east follow. A
// label turns at its pixel's corner when both neighbours of the pixel differ (also when the
// diagonal one is the same: 4-connection), and at a missing pixel's corner when the other three are
// its own.
void PolygonTracer::TraceCorner(int64_t x, uint8_t tl, uint8_t tr, uint8_t bl, uint8_t br) {
  const auto at = static_cast<size_t>(x);
  const Corner corner{static_cast<int32_t>(x), static_cast<int32_t>(y_)};
  const int32_t north_head = head_[at], north_tail = tail_[at];
  const int32_t west_head = east_head_, west_tail = east_tail_;
  int32_t south_head = kNone, south_tail = kNone, next_head = kNone, next_tail = kNone;
  const auto pair = [&](int32_t* tail, int32_t* head) { *tail = *head = NewNode(corner); };

  // The upper left pixel: arrives by its right side (north), leaves by its lower side (west).
  if (traced_[tl]) {
    if (tl != tr && tl != bl) {
      Join(north_head, west_tail, corner, x - 1);
    } else if (tl == tr && tl != bl && tl != br) {
      next_tail = west_tail;
    } else if (tl == bl && tl != tr && tl != br) {
      south_head = north_head;
    } else if (tl == tr && tl == bl && tl != br) {
      pair(&next_tail, &south_head);
    } else if (tl == tr && tl == br && tl != bl) {
      south_tail = Prepend(west_tail, corner);
    } else if (tl == bl && tl == br && tl != tr) {
      next_head = Append(north_head, corner);
    }
  }
  if (traced_[tr] && tr != tl) {
    if (tr != br) {
      next_tail = Prepend(north_tail, corner);
    } else if (bl != tr) {
      south_tail = north_tail;
    } else {  // all but the upper left
      Join(west_head, north_tail, corner, x);
    }
  }
  if (traced_[bl] && bl != tl) {
    if (bl != br) {
      south_head = Append(west_head, corner);
    } else if (tr != bl) {
      next_head = west_head;
    }
  }
  if (traced_[br] && br != tr && br != bl) pair(&south_tail, &next_head);

  head_[at] = south_head;
  tail_[at] = south_tail;
  east_head_ = next_head;
  east_tail_ = next_tail;
}

int32_t PolygonTracer::Append(int32_t head, Corner at) {
  const int32_t node = NewNode(at);
  Node& old = nodes_[static_cast<size_t>(head)];
  const int32_t tail = old.other == kNone ? head : old.other;
  old.next = node;
  old.other = kNone;
  nodes_[static_cast<size_t>(node)].other = tail;
  nodes_[static_cast<size_t>(tail)].other = node;
  return node;
}

int32_t PolygonTracer::Prepend(int32_t tail, Corner at) {
  const int32_t node = NewNode(at);
  Node& old = nodes_[static_cast<size_t>(tail)];
  const int32_t head = old.other == kNone ? tail : old.other;
  if (head != tail) old.other = kNone;
  nodes_[static_cast<size_t>(node)].next = tail;
  nodes_[static_cast<size_t>(node)].other = head;
  nodes_[static_cast<size_t>(head)].other = node;
  return node;
}

// pixel: column above the line (left pixel) or below it that the ring encloses, should it close.
void PolygonTracer::Join(int32_t head, int32_t tail, Corner at, int64_t pixel) {
  const int32_t node = NewNode(at);
  Node& h = nodes_[static_cast<size_t>(head)];
  Node& t = nodes_[static_cast<size_t>(tail)];
  const int32_t first = h.other == kNone ? head : h.other;
  const int32_t last = t.other == kNone ? tail : t.other;
  h.next = node;
  nodes_[static_cast<size_t>(node)].next = tail;
  if (first == tail) {  // closed
    Region& region = regions_[static_cast<size_t>(RegionAt(pixel))];
    int32_t ring;
    if (free_rings_.empty()) {
      ring = static_cast<int32_t>(rings_.size());
      rings_.push_back({node, kNone});
    } else {
      ring = free_rings_.back();
      free_rings_.pop_back();
      rings_[static_cast<size_t>(ring)] = {node, kNone};
    }
    if (region.first_ring == kNone) {
      region.first_ring = ring;
    } else {
      rings_[static_cast<size_t>(region.last_ring)].next = ring;
    }
    region.last_ring = ring;
    return;
  }
  if (first != head) h.other = kNone;
  if (last != tail) t.other = kNone;
  nodes_[static_cast<size_t>(first)].other = last;
  nodes_[static_cast<size_t>(last)].other = first;
}

// Both kinds of corner that close a ring have a pixel of the region above the line.
int32_t PolygonTracer::RegionAt(int64_t pixel) {
  while (search_ < old_runs_.size() && old_runs_[search_].end <= pixel) ++search_;
  return Root(old_runs_[search_].region);
}

void PolygonTracer::EmitFinished() {
  for (const Run& run : old_runs_) {
    const int32_t root = run.region;
    Region& region = regions_[static_cast<size_t>(root)];
    if (region.pixels == 0) continue;  // emitted by an earlier run of it
    if (region.last_row < y_) Emit(root);
  }
  old_runs_.clear();
}

void PolygonTracer::Emit(int32_t index) {
  Region& region = regions_[static_cast<size_t>(index)];
  out_.label = region.label;
  out_.pixels = region.pixels;
  out_.rings.clear();
  for (int32_t ring = region.first_ring; ring != kNone;) {
    Outline& outline = out_.rings.emplace_back();
    const int32_t first = rings_[static_cast<size_t>(ring)].first;
    int32_t node = first;
    do {
      outline.push_back(nodes_[static_cast<size_t>(node)].at);
      free_nodes_.push_back(node);
      node = nodes_[static_cast<size_t>(node)].next;
    } while (node != first);
    live_ -= static_cast<int64_t>(outline.size());
    free_rings_.push_back(ring);
    ring = rings_[static_cast<size_t>(ring)].next;
  }
  region.pixels = 0;
  region.first_ring = kNone;
  free_regions_.push_back(index);
  sink_(out_);
}

}  // namespace eosin::segment
