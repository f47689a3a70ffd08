// SPDX-License-Identifier: Apache-2.0
#include "segment/data/class_index.h"

#include <algorithm>
#include <array>

#include "core/base/philox.h"

namespace eosin::segment {

ImageClasses IndexClasses(const core::Image& mask, int classes, int64_t image) {
  const auto count = static_cast<size_t>(classes);
  ImageClasses index;
  std::array<int64_t, 256> totals{};
  for (const uint8_t value : mask.pixels) ++totals[value];
  index.ignored = totals[255];
  index.pixels.assign(totals.begin(), totals.begin() + classes);

  // The ranks (n-th pixel of the class) to keep.
  std::vector<std::vector<int64_t>> ranks(count);
  for (size_t c = 0; c < count; ++c) {
    const int64_t total = index.pixels[c];
    const int64_t kept = std::min<int64_t>(total, kCentres);
    core::PhiloxStream draw(0, core::DrawPurpose::kAnalysis, static_cast<uint32_t>(image),
                            static_cast<uint32_t>(c));
    for (int64_t k = 0; k < kept; ++k) {
      const int64_t begin = k * total / kept, end = (k + 1) * total / kept;
      ranks[c].push_back(begin + draw.Below(static_cast<uint32_t>(end - begin)));
    }
  }
  index.centres.resize(count);
  std::array<int64_t, 256> met{};
  std::array<int64_t, 256> next;  // the next rank to keep of each class
  next.fill(-1);
  for (size_t c = 0; c < count; ++c) {
    if (!ranks[c].empty()) next[c] = ranks[c].front();
  }
  for (size_t i = 0; i < mask.pixels.size(); ++i) {
    const uint8_t c = mask.pixels[i];
    if (met[c]++ != next[c]) continue;
    index.centres[c].push_back(static_cast<uint32_t>(i));
    const size_t done = index.centres[c].size();
    next[c] = done < ranks[c].size() ? ranks[c][done] : -1;
  }
  return index;
}

}  // namespace eosin::segment
