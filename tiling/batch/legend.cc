// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/legend.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "core/base/words.h"

namespace eosin::tiling {
namespace {

constexpr int kLineHeight = 22, kSwatch = 12, kGap = 6, kBetween = 18;
constexpr double kFont = 0.45;

}  // namespace

core::Image WithLegend(const core::Image& picture, const std::vector<LegendEntry>& entries) {
  struct Placed {
    const LegendEntry* entry;
    std::string text;
    int x, line;
  };
  std::vector<Placed> placed;
  int x = kGap, line = 0;
  for (const LegendEntry& entry : entries) {
    if (entry.count == 0) continue;
    Placed item{&entry, entry.text + " " + core::Grouped(entry.count), 0, 0};
    int base = 0;
    const int width = kSwatch + kGap +
                      cv::getTextSize(item.text, cv::FONT_HERSHEY_SIMPLEX, kFont, 1, &base).width;
    if (x > kGap && x + width > picture.width) {
      x = kGap;
      ++line;
    }
    item.x = x;
    item.line = line;
    x += width + kBetween;
    placed.push_back(std::move(item));
  }
  if (placed.empty()) return picture;
  core::Image out(picture.width, picture.height + (line + 1) * kLineHeight, 3, 255);
  std::copy(picture.pixels.begin(), picture.pixels.end(), out.pixels.begin());
  cv::Mat view(out.height, out.width, CV_8UC3, out.pixels.data());
  for (const Placed& item : placed) {
    const int top = picture.height + item.line * kLineHeight + (kLineHeight - kSwatch) / 2;
    const auto& c = item.entry->colour;
    cv::rectangle(view, {item.x, top, kSwatch, kSwatch}, cv::Scalar(c[0], c[1], c[2]), cv::FILLED);
    cv::putText(view, item.text, {item.x + kSwatch + kGap, top + kSwatch - 1},
                cv::FONT_HERSHEY_SIMPLEX, kFont, cv::Scalar(30, 30, 30), 1, cv::LINE_AA);
  }
  return out;
}

}  // namespace eosin::tiling
