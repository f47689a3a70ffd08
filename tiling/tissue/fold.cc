// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/fold.h"

#include <algorithm>
#include <cmath>

#include "tiling/tissue/pen.h"

namespace eosin::tiling {
namespace {

constexpr float kTissue = 0.3f, kBasePercentile = 0.35f;
constexpr float kCoreRatio = 1.7f, kCoreDensity = 1.2f, kCoreHue = 0.05f;
constexpr float kEdgeRatio = 1.3f, kEdgeDensity = 1.0f, kEdgeHue = 0.07f;
constexpr double kColour = 0.06;  // between the least and the most absorbed channel
constexpr size_t kFewest = 8;     // blocks of tissue to compare with

// How many of the four neighbours are marked; marks have a margin of one block.
int Neighbours(const uint8_t* mark, size_t pitch) {
  return mark[-1] + mark[1] + *(mark - pitch) + mark[pitch];
}

}  // namespace

DensityBlocks::DensityBlocks(int width, int height)
    : width_(width),
      height_(height),
      columns_((width + kFoldBlock - 1) / kFoldBlock),
      rows_((height + kFoldBlock - 1) / kFoldBlock),
      blocks_(static_cast<size_t>(columns_) * static_cast<size_t>(rows_)) {}

int DensityBlocks::Pixels(int column, int row) const {
  return std::min(kFoldBlock, width_ - column * kFoldBlock) *
         std::min(kFoldBlock, height_ - row * kFoldBlock);
}

double DensityBlocks::Share(const std::vector<uint8_t>& marked) const {
  int64_t pixels = 0;
  for (int y = 0; y < rows_; ++y) {
    for (int x = 0; x < columns_; ++x) {
      if (marked[static_cast<size_t>(y) * columns_ + x]) pixels += Pixels(x, y);
    }
  }
  return static_cast<double>(pixels) / (static_cast<double>(width_) * height_);
}

double DensityBlocks::InkShare() const {
  std::vector<uint8_t> marked(blocks_.size());
  bool any = false;
  for (int y = 0; y < rows_; ++y) {
    for (int x = 0; x < columns_; ++x) {
      const size_t i = static_cast<size_t>(y) * columns_ + x;
      marked[i] = blocks_[i].ink > 0 && 2 * blocks_[i].ink >= Pixels(x, y);
      any |= marked[i] != 0;
    }
  }
  return any ? Share(marked) : 0;
}

double DensityBlocks::FoldShare() const {
  std::vector<float> density(blocks_.size()), tissue;
  tissue.reserve(blocks_.size());
  for (int y = 0; y < rows_; ++y) {
    for (int x = 0; x < columns_; ++x) {
      const size_t i = static_cast<size_t>(y) * columns_ + x;
      const Block& block = blocks_[i];
      const float unit = static_cast<float>(internal::kDensityUnit * Pixels(x, y));
      density[i] = (block.red + block.green + block.blue) / unit;
      if (density[i] > kTissue) tissue.push_back(density[i]);
    }
  }
  if (tissue.size() < kFewest) return 0;
  const auto middle = static_cast<size_t>(kBasePercentile * static_cast<float>(tissue.size()));
  std::nth_element(tissue.begin(), tissue.begin() + static_cast<std::ptrdiff_t>(middle),
                   tissue.end());
  const float base = tissue[middle];
  if (*std::max_element(density.begin(), density.end()) <= kCoreRatio * base) return 0;

  double red = 0, green = 0, blue = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (density[i] <= kTissue || density[i] > base) continue;
    red += blocks_[i].red;
    green += blocks_[i].green;
    blue += blocks_[i].blue;
  }
  const double all = red + green + blue;
  if (std::max({red, green, blue}) - std::min({red, green, blue}) < kColour * all) return 0;
  const auto off_hue = [&](const Block& block) {
    const double sum = double{block.red} + block.green + block.blue;
    return std::max({std::abs(block.red / sum - red / all),
                     std::abs(block.green / sum - green / all),
                     std::abs(block.blue / sum - blue / all)});
  };
  const size_t pitch = static_cast<size_t>(columns_) + 2;
  std::vector<uint8_t> dark(pitch * (static_cast<size_t>(rows_) + 2));
  const auto each = [&](const auto& action) {
    for (int y = 0; y < rows_; ++y) {
      for (int x = 0; x < columns_; ++x) {
        action(static_cast<size_t>(y) * columns_ + x, (static_cast<size_t>(y) + 1) * pitch + x + 1);
      }
    }
  };
  const float core_density = std::max(kCoreRatio * base, kCoreDensity);
  each([&](size_t block, size_t place) {
    dark[place] = density[block] > core_density && off_hue(blocks_[block]) < kCoreHue;
  });
  std::vector<uint8_t> core(dark.size());
  bool any = false;
  each([&](size_t, size_t place) {
    core[place] = dark[place] && Neighbours(&dark[place], pitch) >= 2;
    any |= core[place] != 0;
  });
  if (!any) return 0;
  std::vector<uint8_t> marked(blocks_.size());
  const float edge_density = std::max(kEdgeRatio * base, kEdgeDensity);
  each([&](size_t block, size_t place) {
    marked[block] =
        core[place] || (density[block] > edge_density && Neighbours(&core[place], pitch) > 0 &&
                        off_hue(blocks_[block]) < kEdgeHue);
  });
  return Share(marked);
}

}  // namespace eosin::tiling
