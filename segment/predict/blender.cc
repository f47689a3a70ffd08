// SPDX-License-Identifier: Apache-2.0
#include "segment/predict/blender.h"

#include <algorithm>
#include <cstring>

namespace eosin::segment {
namespace {

constexpr int64_t kTilePixels = int64_t{kBlock} * kBlock;
constexpr uint64_t kOneSum = uint64_t{kOneProbability} * kAxisOne * kAxisOne;
static_assert(kOneSum < uint64_t{1} << 31, "sums must fit");

void AddRow(const uint16_t* in, const uint32_t* weights, uint32_t weight, int64_t count,
            uint32_t* out) {
  for (int64_t i = 0; i < count; ++i) out[i] += in[i] * (weights[i] * weight);
}

// The class of the largest sum, the first among equals.
void ArgMax(const uint32_t* sums, int classes, int64_t count, uint8_t* labels) {
  uint32_t best[kBlock];
  std::copy_n(sums, count, best);
  std::fill_n(labels, count, uint8_t{0});
  for (int c = 1; c < classes; ++c) {
    const uint32_t* plane = sums + c * kTilePixels;
    const auto label = static_cast<uint8_t>(c);
    for (int64_t i = 0; i < count; ++i) {
      const bool more = plane[i] > best[i];
      best[i] = more ? plane[i] : best[i];
      labels[i] = more ? label : labels[i];
    }
  }
}

}  // namespace

Blender::Blender(const PredictPlan& plan, int classes, const std::string& blend, bool probabilities)
    : plan_(plan),
      classes_(classes),
      probabilities_(probabilities),
      across_(plan.x, blend),
      down_(plan.y, blend) {}

std::unique_ptr<uint32_t[]> Blender::NewTile() {
  const size_t size = static_cast<size_t>(classes_) * kTilePixels;
  if (spare_.empty()) return std::make_unique<uint32_t[]>(size);
  std::unique_ptr<uint32_t[]> tile = std::move(spare_.back());
  spare_.pop_back();
  std::fill_n(tile.get(), size, 0U);
  return tile;
}

void Blender::Add(int64_t row, int64_t column, const uint16_t* probabilities) {
  const int window = plan_.x.window;
  const int64_t left = plan_.x.Start(column), top = plan_.y.Start(row);
  const int64_t x0 = std::max<int64_t>(0, left), x1 = std::min(plan_.width, left + window);
  const int64_t y0 = std::max<int64_t>(0, top), y1 = std::min(plan_.height, top + window);
  const std::vector<uint32_t>& across = across_.Of(column);
  const std::vector<uint32_t>& down = down_.Of(row);
  for (int64_t ty = y0 / kBlock; ty <= (y1 - 1) / kBlock; ++ty) {
    const int64_t bottom = std::min(y1, (ty + 1) * kBlock);
    for (int64_t tx = x0 / kBlock; tx <= (x1 - 1) / kBlock; ++tx) {
      auto& tile = tiles_[{ty, tx}];
      if (!tile) tile = NewTile();
      const int64_t begin = std::max(x0, tx * kBlock), end = std::min(x1, (tx + 1) * kBlock);
      for (int c = 0; c < classes_; ++c) {
        for (int64_t y = std::max(y0, ty * kBlock); y < bottom; ++y) {
          const uint32_t weight = down[static_cast<size_t>(y - top)];
          if (weight == 0) continue;
          AddRow(probabilities + (c * int64_t{window} + (y - top)) * window + (begin - left),
                 across.data() + (begin - left), weight, end - begin,
                 tile.get() + c * kTilePixels + (y - ty * kBlock) * kBlock + (begin - tx * kBlock));
        }
      }
    }
  }
}

void Blender::EndRow(int64_t row, const CellMap& skip, bool emit, Band* band) {
  const int64_t y0 = plan_.y.Done(row), y1 = plan_.y.Done(row + 1);
  if (emit) {
    band->index = row;
    band->y = y0;
    band->rows = y1 - y0;
    band->width = plan_.width;
    const auto pixels = static_cast<size_t>(band->rows * plan_.width);
    band->labels.assign(pixels, kNotPredicted);
    band->probabilities.assign(probabilities_ ? pixels * static_cast<size_t>(classes_) : 0, 0);
  }
  for (auto at = tiles_.lower_bound({y0 / kBlock, 0}); emit && at != tiles_.end(); ++at) {
    const auto [ty, tx] = at->first;
    if (ty * kBlock >= y1) break;
    const int64_t left = tx * kBlock, right = std::min(plan_.width, left + kBlock);
    for (int64_t y = std::max(y0, ty * kBlock); y < std::min(y1, (ty + 1) * kBlock); ++y) {
      const uint32_t* sums = at->second.get() + (y - ty * kBlock) * kBlock;
      for (int64_t x = left; x < right;) {
        const int64_t next = std::min(right, (x / kCell + 1) * kCell);
        const int64_t out = (y - y0) * plan_.width + x;
        if (plan_.cells.at(x / kCell, y / kCell) && !skip.at(x / kCell, y / kCell)) {
          ArgMax(sums + (x - left), classes_, next - x,
                 band->labels.data() + static_cast<size_t>(out));
          for (int c = 0; probabilities_ && c < classes_; ++c) {
            const uint32_t* plane = sums + c * kTilePixels + (x - left);
            uint8_t* to = band->probabilities.data() +
                          static_cast<size_t>(c * band->rows * plan_.width + out);
            for (int64_t i = 0; i < next - x; ++i) {
              to[i] = static_cast<uint8_t>((plane[i] * uint64_t{255} + kOneSum / 2) / kOneSum);
            }
          }
        }
        x = next;
      }
    }
  }
  while (!tiles_.empty() && (tiles_.begin()->first.row + 1) * kBlock <= y1) {
    spare_.push_back(std::move(tiles_.begin()->second));
    tiles_.erase(tiles_.begin());
  }
}

}  // namespace eosin::segment
