// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/plan.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace eosin::tiling {
namespace {

// Usual bytes a pixel of H&E tissue at about 0.5 um/px; JPEG with 4:2:0 by quality.
double BytesPerPixel(const TileOptions& options) {
  if (options.encoding == "raw") return 3;
  if (options.encoding == "png") return 1.9;
  constexpr double kQuality[] = {1, 50, 75, 90, 95, 100};
  constexpr double kBytes[] = {0.02, 0.10, 0.16, 0.30, 0.45, 1.1};
  const double quality = static_cast<double>(options.quality);
  for (int i = 1; i < 6; ++i) {
    if (quality > kQuality[i]) continue;
    const double share = (quality - kQuality[i - 1]) / (kQuality[i] - kQuality[i - 1]);
    return kBytes[i - 1] + share * (kBytes[i] - kBytes[i - 1]);
  }
  return kBytes[5];
}

void ChooseLevel(const SlideGeometry& slide, const TileOptions& options, Plan* plan) {
  const double mpp0 = slide.mpp.mean();
  const double target = options.TargetMpp();
  const auto level_mpp = [&](int i) {
    return mpp0 * slide.levels[static_cast<size_t>(i)].downsample;
  };
  int nearest = 0, finer = 0;
  for (int i = 1; i < static_cast<int>(slide.levels.size()); ++i) {
    if (std::abs(level_mpp(i) - target) < std::abs(level_mpp(nearest) - target)) nearest = i;
    if (level_mpp(i) <= target && level_mpp(i) > level_mpp(finer)) finer = i;
  }
  plan->exact = std::abs(level_mpp(nearest) / target - 1) <= kLevelTolerance;
  plan->level = plan->exact ? nearest : finer;
  plan->tile_mpp = plan->exact ? level_mpp(nearest) : target;
  if (!options.allow_upsample && target < mpp0 * (1 - kUpsampleTolerance)) {
    throw core::SlideError(
        fmt::format("{:.4g} um/px is finer than the slide's {:.4g} um/px", target, mpp0),
        fmt::format("ask for --mpp {:.4g} or coarser, or invent detail with --allow-upsample",
                    mpp0));
  }
  const double size = static_cast<double>(options.size);
  plan->tile_size = static_cast<int>(options.size);
  plan->downsample = plan->tile_mpp / mpp0;
  plan->patch_size_level0 = std::max<int64_t>(1, std::llround(size * plan->downsample));
  plan->read_size = plan->exact
                        ? plan->tile_size
                        : static_cast<int>(std::max<long long>(
                              1, std::llround(size * plan->tile_mpp / level_mpp(plan->level))));
}

bool InsideRoi(const std::vector<double>& roi, double x, double y, double side) {
  if (roi.empty()) return true;
  for (size_t i = 0; i + 3 < roi.size(); i += 4) {
    if (x >= roi[i] && y >= roi[i + 1] && x + side <= roi[i] + roi[i + 2] &&
        y + side <= roi[i + 1] + roi[i + 3]) {
      return true;
    }
  }
  return false;
}

}  // namespace

Plan MakePlan(const SlideGeometry& slide, const TissueMask* tissue, const TileOptions& options) {
  if (!slide.mpp.known()) {
    throw core::SlideError("the slide does not say its scale (no mpp)", "give --mpp-override");
  }
  Plan plan;
  ChooseLevel(slide, options, &plan);
  const double side = static_cast<double>(plan.patch_size_level0);
  const double stride = static_cast<double>(options.Stride()) * plan.downsample;
  const auto [left, top, width, height] = slide.bounds;
  // A level may end a little short of level 0; what it does not cover cannot be read from it.
  const SlideLevel& level = slide.levels[static_cast<size_t>(plan.level)];
  const auto covered = [&](int64_t pixels) {
    return static_cast<int64_t>(static_cast<double>(pixels) * level.downsample + 0.5);
  };
  const int64_t right = std::min(left + width, covered(level.width));
  const int64_t bottom = std::min(top + height, covered(level.height));
  for (int64_t row = 0;; ++row) {
    const int64_t y = top + std::llround(static_cast<double>(row) * stride);
    if (y + plan.patch_size_level0 > bottom) break;
    for (int64_t column = 0;; ++column) {
      const int64_t x = left + std::llround(static_cast<double>(column) * stride);
      if (x + plan.patch_size_level0 > right) break;
      const double fx = static_cast<double>(x), fy = static_cast<double>(y);
      if (!InsideRoi(options.roi, fx, fy, side)) {
        ++plan.outside_roi;
        continue;
      }
      const double share = tissue ? tissue->Share(fx, fy, side, side) : 1;
      const PlannedTile tile = {x, y, static_cast<float>(share)};
      // A mask without a pixel of tissue rejects even at min_tissue 0.
      const bool kept = !tissue || (share >= options.min_tissue && share > 0);
      (kept ? plan.tiles : plan.rejected).push_back(tile);
    }
  }
  const double tile_bytes = BytesPerPixel(options) * static_cast<double>(options.size) *
                            static_cast<double>(options.size);
  constexpr double kPreviews = 500e3, kChunk = 1 << 20;  // tile bytes come in whole chunks
  const double count = static_cast<double>(plan.tiles.size());
  plan.predicted_bytes = static_cast<int64_t>(std::ceil(tile_bytes * count / kChunk) * kChunk +
                                              32 * count + kPreviews);
  return plan;
}

std::string Describe(const Plan& plan) {
  const double megabytes = static_cast<double>(plan.predicted_bytes) / 1e6;
  return fmt::format("{} tiles of {} px at {:.4g} um/px {} level {}, about {:.3g} MB",
                     plan.tiles.size(), plan.tile_size, plan.tile_mpp,
                     plan.exact ? "from" : "resampled from", plan.level, megabytes);
}

}  // namespace eosin::tiling
