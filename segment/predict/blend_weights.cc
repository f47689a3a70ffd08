// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/blend_weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace eosin::segment {
namespace {

constexpr int64_t kInner = -1;

}  // namespace

const std::vector<std::string>& BlendNames() {
  static const std::vector<std::string> names = {"gaussian", "cosine"};
  return names;
}

BlendWeights::BlendWeights(const WindowAxis& axis, const std::string& blend) : axis_(axis) {
  for (int i = 0; i < axis.window; ++i) {
    const double at = (i + 0.5) / axis.window;
    const double z = (at - 0.5) * 8;
    raw_.push_back(blend == "cosine" ? std::pow(std::sin(std::numbers::pi * at), 2)
                                     : std::exp(-0.5 * z * z));
  }
}

const std::vector<uint32_t>& BlendWeights::Of(int64_t i) {
  const int64_t reach = (axis_.window - 1) / axis_.stride;  // neighbours that overlap, on a side
  const int64_t key = i >= reach && i + reach < axis_.count ? kInner : i;
  auto [found, fresh] = known_.try_emplace(key);
  if (fresh) found->second = Compute(i);
  return found->second;
}

std::vector<uint32_t> BlendWeights::Compute(int64_t i) const {
  struct Part {
    int64_t window;
    int at;
    uint32_t whole;
    double rest;
  };
  std::vector<Part> parts;
  std::vector<uint32_t> weights(static_cast<size_t>(axis_.window));
  for (int k = 0; k < axis_.window; ++k) {
    parts.clear();
    double sum = 0;
    const int64_t last = std::min(axis_.count - 1, i + k / axis_.stride);
    const int64_t first = std::max<int64_t>(0, i - (axis_.window - 1 - k) / axis_.stride);
    for (int64_t j = first; j <= last; ++j) {
      const auto at = static_cast<int>(k + (i - j) * axis_.stride);
      parts.push_back({j, at, 0, 0});
      sum += raw_[static_cast<size_t>(at)];
    }
    uint32_t left = kAxisOne;
    for (Part& part : parts) {
      const double exact = raw_[static_cast<size_t>(part.at)] / sum * kAxisOne;
      part.whole = std::min(left, static_cast<uint32_t>(exact));
      part.rest = exact - part.whole;
      left -= part.whole;
    }
    // What is left over goes to the largest remainders: all windows of the pixel agree on whose.
    std::stable_sort(parts.begin(), parts.end(),
                     [](const Part& a, const Part& b) { return a.rest > b.rest; });
    for (size_t n = 0; left > 0; n = (n + 1) % parts.size(), --left) ++parts[n].whole;
    for (const Part& part : parts) {
      if (part.window == i) weights[static_cast<size_t>(k)] = part.whole;
    }
  }
  return weights;
}

}  // namespace eosin::segment
