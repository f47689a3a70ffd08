// SPDX-License-Identifier: Apache-2.0
#include "tiling/annotations/holes.h"

#include <algorithm>
#include <map>
#include <memory>

#include "tiling/annotations/box_index.h"
#include "tiling/annotations/ring_edges.h"

namespace eosin::tiling {
namespace {

constexpr size_t kSamples = 64;  // vertices of a hole that are looked up, evenly spaced
// Steps of looking up: a made file could ask for far more than any drawing has.
constexpr int64_t kStepCap = 2'000'000'000;

struct Part {
  size_t annotation, polygon;
};

// Holes of one layer into its parts.
class LayerHoles {
 public:
  LayerHoles(const std::vector<Part>& parts, std::vector<Annotation>& annotations)
      : parts_(parts), annotations_(annotations) {
    std::vector<Box> boxes;
    for (const Part& part : parts) boxes.push_back(BoxOf(OuterOf(part)));
    index_ = BoxIndex(boxes);
    edges_.resize(parts.size());
  }

  // Returns whether the hole lies in any part.
  bool Cut(const FlatRegion& hole, AnnotationText& text, int64_t& steps) {
    bool found = false;
    std::vector<uint32_t> near;
    index_.Find(BoxOf(hole.ring), near);
    const size_t samples = std::min(kSamples, hole.ring.size());
    for (const uint32_t i : near) {
      if (!edges_[i]) edges_[i] = std::make_unique<RingEdges>(OuterOf(parts_[i]));
      const RingEdges& edges = *edges_[i];
      size_t inside = 0;
      for (size_t k = 0; k < samples; ++k) {
        inside += edges.Contains(hole.ring[k * hole.ring.size() / samples], &steps) ? 1 : 0;
      }
      if (steps > kStepCap) {
        text.Fail(hole.place, "too many negative regions lie over one another",
                  "merge the regions before the export");
      }
      if (2 * inside < samples) continue;
      if (found) text.CountVertices(static_cast<int64_t>(hole.ring.size()), hole.place);
      annotations_[parts_[i].annotation].polygons[parts_[i].polygon].holes.push_back(hole.ring);
      found = true;
    }
    return found;
  }

 private:
  const Ring& OuterOf(const Part& part) const {
    return annotations_[part.annotation].polygons[part.polygon].outer;
  }

  const std::vector<Part>& parts_;
  std::vector<Annotation>& annotations_;
  BoxIndex index_;
  std::vector<std::unique_ptr<RingEdges>> edges_;  // made when first asked for
};

}  // namespace

Ring RectangleOf(Ring ring) {
  if (ring.size() != 2) return ring;
  const auto [a, b] = std::pair(ring[0], ring[1]);
  return {a, {b.x, a.y}, b, {a.x, b.y}};
}

std::vector<Annotation> JoinRegions(std::vector<FlatRegion> regions, AnnotationText& text,
                                    int64_t& skipped) {
  std::vector<Annotation> annotations;
  std::map<size_t, std::vector<Part>> parts;        // by layer
  std::map<size_t, std::vector<FlatRegion>> holes;  // by layer, parents still unknown
  bool has_last = false;
  size_t last_layer = 0;
  for (FlatRegion& region : regions) {
    region.ring = WithoutRepeatedEnd(std::move(region.ring));
    if (region.ring.size() < 3) {
      ++skipped;
      if (!region.hole) has_last = false;  // what continues a ring without area stands alone
      continue;
    }
    const bool continues = region.continues && has_last && last_layer == region.layer;
    if (region.hole) {
      if (continues) {
        annotations.back().polygons.back().holes.push_back(std::move(region.ring));
      } else {
        holes[region.layer].push_back(std::move(region));
      }
      continue;
    }
    if (!continues) {
      annotations.push_back({std::move(region.name), std::move(region.class_of), {}});
    }
    annotations.back().polygons.push_back({std::move(region.ring), {}});
    parts[region.layer].push_back({annotations.size() - 1, annotations.back().polygons.size() - 1});
    has_last = true;
    last_layer = region.layer;
  }
  int64_t steps = 0;
  for (const auto& [layer, rings] : holes) {
    LayerHoles cutter(parts[layer], annotations);
    for (const FlatRegion& hole : rings) {
      if (!cutter.Cut(hole, text, steps)) ++skipped;
    }
  }
  return annotations;
}

}  // namespace eosin::tiling
