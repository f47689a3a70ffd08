// SPDX-License-Identifier: Apache-2.0
// Small label maps for the tests of outlines, and slow, simple answers about them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "segment/predict/outline.h"
#include "segment/predict/polygon_tracer.h"
#include "segment/predict/predict_plan.h"
#include "tests/testing.h"

namespace eosin::testing {

using segment::Corner;
using segment::kNotPredicted;
using segment::Outline;
using segment::TracedRegion;

inline std::vector<TracedRegion> Trace(const std::vector<uint8_t>& labels, int width) {
  std::vector<TracedRegion> regions;
  std::vector<bool> traced(256, true);
  traced[kNotPredicted] = false;
  segment::PolygonTracer tracer(width, traced,
                                [&](const TracedRegion& region) { regions.push_back(region); });
  for (size_t at = 0; at < labels.size(); at += static_cast<size_t>(width)) {
    tracer.AddRow(labels.data() + at);
  }
  tracer.Finish();
  EXPECT_EQ(tracer.corners(), 0);
  return regions;
}

// 'a' is label 0, 'b' 1, '.' nothing.
inline std::vector<TracedRegion> TraceText(const std::vector<std::string>& rows) {
  std::vector<uint8_t> labels;
  for (const std::string& row : rows) {
    for (const char c : row) {
      labels.push_back(c == '.' ? kNotPredicted : static_cast<uint8_t>(c - 'a'));
    }
  }
  return Trace(labels, static_cast<int>(rows[0].size()));
}

// The ring from its topmost, then leftmost corner on.
inline Outline Turned(Outline ring) {
  const auto first = std::min_element(ring.begin(), ring.end(), [](Corner a, Corner b) {
    return a.y != b.y ? a.y < b.y : a.x < b.x;
  });
  std::rotate(ring.begin(), first, ring.end());
  return ring;
}

inline double RingArea(const Outline& ring) {
  int64_t twice = 0;
  for (size_t i = 0; i < ring.size(); ++i) {
    const Corner &a = ring[i], &b = ring[(i + 1) % ring.size()];
    twice += int64_t{a.x} * b.y - int64_t{b.x} * a.y;
  }
  return static_cast<double>(twice) / 2;
}

// Patches of a few pixels, with single pixels in between.
inline std::vector<uint8_t> RandomLabels(int width, int height, int classes, uint32_t seed) {
  core::PhiloxStream stream(11, core::DrawPurpose::kTest, seed, 0);
  std::vector<uint8_t> labels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const auto fresh = static_cast<uint8_t>(stream.Below(static_cast<uint32_t>(classes)));
      const uint32_t what = stream.Below(10);
      const size_t at = labels.size();
      if (what < 4 && x > 0) {
        labels.push_back(labels[at - 1]);
      } else if (what < 7 && y > 0) {
        labels.push_back(labels[at - static_cast<size_t>(width)]);
      } else {
        labels.push_back(fresh);
      }
    }
  }
  return labels;
}

// Sets the pixels whose centres the rings enclose (even-odd).
template <typename Rings>
void Fill(const Rings& rings, uint8_t label, int width, int height, std::vector<uint8_t>* out) {
  for (int y = 0; y < height; ++y) {
    std::vector<double> crossings;
    for (const auto& ring : rings) {
      for (size_t i = 0; i < ring.size(); ++i) {
        const auto &a = ring[i], &b = ring[(i + 1) % ring.size()];
        const double ay = a.y, by = b.y, ax = a.x, bx = b.x, at = y + 0.5;
        if ((ay > at) != (by > at)) crossings.push_back(ax + (bx - ax) * (at - ay) / (by - ay));
      }
    }
    std::sort(crossings.begin(), crossings.end());
    for (size_t i = 0; i + 1 < crossings.size(); i += 2) {
      for (int x = 0; x < width; ++x) {
        if (x + 0.5 > crossings[i] && x + 0.5 < crossings[i + 1]) {
          (*out)[static_cast<size_t>(y * width + x)] = label;
        }
      }
    }
  }
}

inline int64_t CountPatches(const std::vector<uint8_t>& labels, int width) {
  std::vector<bool> seen(labels.size());
  int64_t patches = 0;
  std::vector<int> open;
  const int size = static_cast<int>(labels.size());
  for (int start = 0; start < size; ++start) {
    if (seen[static_cast<size_t>(start)]) continue;
    ++patches;
    open = {start};
    seen[static_cast<size_t>(start)] = true;
    while (!open.empty()) {
      const int at = open.back();
      open.pop_back();
      const int x = at % width;
      for (const int to :
           {x > 0 ? at - 1 : -1, x + 1 < width ? at + 1 : -1, at - width, at + width}) {
        if (to < 0 || to >= size || seen[static_cast<size_t>(to)]) continue;
        if (labels[static_cast<size_t>(to)] != labels[static_cast<size_t>(at)]) continue;
        seen[static_cast<size_t>(to)] = true;
        open.push_back(to);
      }
    }
  }
  return patches;
}

}  // namespace eosin::testing
