// SPDX-License-Identifier: Apache-2.0
#include "tiling/tissue/quality.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/base/clones.h"
#include "tiling/tissue/fold.h"
#include "tiling/tissue/pen.h"

namespace eosin::tiling {
namespace {

// Optical densities of glass: where Macenko sees no stain; and darker if without colour.
constexpr float kGlass = 0.15f * internal::kDensityUnit;
constexpr float kGreyGlass = 0.3f * internal::kDensityUnit;
constexpr float kGreyChroma = 0.04f * internal::kDensityUnit;
constexpr float kBlack = internal::kInkDensities[kScannerBlack];
constexpr double kNoise = 0.5;      // variance of sensor and rounding noise, levels^2
constexpr double kFaint = 4;        // levels^2; gradients below are no detail
constexpr double kSharp = 1 / 3.0;  // gradient / Laplacian energy of sharp tissue
constexpr double kHalfBlur = 0.8;   // what a Gaussian of sigma 2 um adds to it
constexpr int kSegment = 512;       // pixels of a row that int32 sums hold

// Pixels of a row, one array a quantity, so that the judging vectorises.
constexpr int kStrip = 16 * kFoldBlock;

struct Strip {
  float red[kStrip] = {}, green[kStrip] = {}, blue[kStrip] = {};  // optical density, 1/1024
  int16_t luma[kStrip] = {};
  int32_t ink[kStrip] = {}, glass[kStrip] = {}, dark[kStrip] = {};

  void Read(const uint8_t* pixel, int count) {
    for (int x = 0; x < count; ++x, pixel += 3) {
      const int r = pixel[0], g = pixel[1], b = pixel[2];
      red[x] = internal::kInkDensities[r];
      green[x] = internal::kInkDensities[g];
      blue[x] = internal::kInkDensities[b];
      luma[x] = static_cast<int16_t>((r + 2 * g + b) >> 2);
    }
  }
  int CountWhite(int count) const { return std::accumulate(glass, glass + count, 0); }
  int CountBlack(int count) const { return std::accumulate(dark, dark + count, 0); }
  void AddTo(DensityBlocks::Block* block, int count) const {
    for (int x = 0; x < count; ++block) {
      for (const int to = std::min(x + kFoldBlock, count); x < to; ++x) {
        block->red += red[x];
        block->green += green[x];
        block->blue += blue[x];
        block->ink += ink[x];
      }
    }
  }
};

EOSIN_CLONES void Judge(Strip* strip) {
  for (int x = 0; x < kStrip; ++x) {
    const float r = strip->red[x], g = strip->green[x], b = strip->blue[x];
    const float dense = std::max(r, std::max(g, b)), light = std::min(r, std::min(g, b));
    strip->ink[x] = IsPen(r, g, b);
    strip->glass[x] = (dense <= kGlass) | ((dense <= kGreyGlass) & (dense - light <= kGreyChroma));
    strip->dark[x] = light >= kBlack;
  }
}

// Energies of the Laplacian and of the gradient of (R + 2 G + B) / 4.
double BlurOf(const std::vector<int16_t>& luma, int width, int height, double mpp) {
  if (width < 3 || height < 3) return 1;
  int64_t laplacian = 0, gradient = 0;
  for (int y = 1; y + 1 < height; ++y) {
    const int16_t* row = luma.data() + static_cast<size_t>(y) * width;
    for (int from = 1; from + 1 < width; from += kSegment) {
      const int to = std::min(from + kSegment, width - 1);
      int32_t second = 0, first = 0;
      for (int x = from; x < to; ++x) {
        const int16_t* at = row + x;
        const int16_t here = at[0], left = at[-1], up = at[-width];
        const auto l = static_cast<int16_t>(4 * here - left - at[1] - up - at[width]);
        const auto dx = static_cast<int16_t>(here - left), dy = static_cast<int16_t>(here - up);
        second += l * l;
        first += dx * dx + dy * dy;
      }
      laplacian += second;
      gradient += first;
    }
  }
  const double n = static_cast<double>(width - 2) * (height - 2);
  // White noise of variance v has Laplacian energy 20 v.
  const double detail = static_cast<double>(laplacian) / n - 20 * kNoise;
  if (detail <= 0) return 1;
  const double softness = (static_cast<double>(gradient) / n + kFaint) / detail;
  const double scale = mpp / kScoreMpp;
  const double excess = scale * scale * std::max(0.0, softness - kSharp);
  return excess / (excess + kHalfBlur);
}

}  // namespace

float QualityAt(const TileQuality& quality, int name) {
  const float scores[] = {quality.blur, quality.pen, quality.white, quality.black, quality.fold};
  return scores[name];
}

TileQuality ScoreTile(const core::Image& rgb, double mpp) {
  TileQuality score;
  if (rgb.empty()) return score;
  std::vector<int16_t> luma(static_cast<size_t>(rgb.width) * static_cast<size_t>(rgb.height));
  DensityBlocks blocks(rgb.width, rgb.height);
  Strip strip;
  int64_t white = 0, black = 0;
  for (int y = 0; y < rgb.height; ++y) {
    for (int x = 0; x < rgb.width; x += kStrip) {
      const int count = std::min(kStrip, rgb.width - x);
      strip.Read(rgb.at(x, y), count);
      Judge(&strip);
      white += strip.CountWhite(count);
      black += strip.CountBlack(count);
      std::copy_n(strip.luma, count, &luma[static_cast<size_t>(y) * rgb.width + x]);
      strip.AddTo(blocks.row(y / kFoldBlock) + x / kFoldBlock, count);
    }
  }
  const auto area = static_cast<double>(luma.size());
  score.blur = static_cast<float>(BlurOf(luma, rgb.width, rgb.height, mpp));
  score.white = static_cast<float>(static_cast<double>(white) / area);
  score.black = static_cast<float>(static_cast<double>(black) / area);
  score.pen = static_cast<float>(blocks.InkShare());
  score.fold = static_cast<float>(blocks.FoldShare());
  return score;
}

void QualityLimits::Bind(core::OptionSet& set) {
  const auto add = [&set](const char* key, double* limit, const char* doc) {
    set.Add(key, limit, {.doc = doc, .min = 0, .max = 1});
  };
  add("reject.blur", &blur,
      "leave out tiles with a blur score above this (0.5: blurred by a sigma of 2 um); 1: none");
  add("reject.pen", &pen, "leave out tiles with a larger share of pen marks; 1: none");
  add("reject.white", &white, "leave out tiles with a larger share of glass; 1: none");
  add("reject.black", &black, "leave out tiles with a larger share of scanner black; 1: none");
  add("reject.fold", &fold, "leave out tiles with a larger share of folds; 1: none");
}

bool QualityLimits::Any() const {
  return blur < 1 || pen < 1 || white < 1 || black < 1 || fold < 1;
}

int QualityLimits::Exceeded(const TileQuality& quality) const {
  const double limits[] = {blur, pen, white, black, fold};
  for (int i = 0; i < static_cast<int>(kQualityNames.size()); ++i) {
    if (static_cast<double>(QualityAt(quality, i)) > limits[i]) return i;
  }
  return -1;
}

}  // namespace eosin::tiling
