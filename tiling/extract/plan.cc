// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/plan.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/words.h"

namespace eosin::tiling {
namespace {

// Larger plans are a slip of the keyboard (a stride of 1) and would fill the memory.
constexpr double kMaxTiles = 5e7;

[[noreturn]] void ThrowTooMany(const Plan& plan) {
  throw core::SlideError(
      fmt::format("stride = {} makes over {:.0f} million tiles", plan.stride, kMaxTiles / 1e6),
      "take a larger stride, or fewer tiles with --roi");
}

double LevelMpp(const SlideGeometry& slide, size_t level) {
  return slide.mpp.mean() * slide.levels[level].downsample;
}

size_t NearestLevel(const SlideGeometry& slide, double target) {
  size_t nearest = 0;
  for (size_t i = 1; i < slide.levels.size(); ++i) {
    if (std::abs(LevelMpp(slide, i) - target) < std::abs(LevelMpp(slide, nearest) - target)) {
      nearest = i;
    }
  }
  return nearest;
}

size_t NextFinerLevel(const SlideGeometry& slide, double target) {
  size_t finer = 0;
  for (size_t i = 1; i < slide.levels.size(); ++i) {
    if (LevelMpp(slide, i) <= target && LevelMpp(slide, i) > LevelMpp(slide, finer)) finer = i;
  }
  return finer;
}

void SetLevel(const SlideGeometry& slide, size_t level, double tile_mpp, Plan* plan) {
  plan->level = static_cast<int>(level);
  plan->level_downsample = slide.levels[level].downsample;
  plan->tile_mpp = tile_mpp;
  plan->downsample = tile_mpp / slide.mpp.mean();
}

void AlignToTiles(const SlideGeometry& slide, double target, Plan* plan) {
  const size_t nearest = NearestLevel(slide, target);
  const double mpp = LevelMpp(slide, nearest);
  if (std::abs(mpp / target - 1) > kAlignTolerance) {
    std::string have;
    for (size_t i = 0; i < slide.levels.size(); ++i) {
      have += fmt::format("{}{:.4g}", i == 0 ? "" : ", ", LevelMpp(slide, i));
    }
    throw core::SlideError(
        fmt::format("no level is within 5 % of {:.4g} um/px: the slide's are stored at {} um/px",
                    target, have),
        "ask for --mpp of one of them, or leave out --align tiles to resample");
  }
  const SlideLevel& level = slide.levels[nearest];
  if (level.tile_width != level.tile_height) {
    throw core::SlideError(fmt::format("the slide's tiles are {} x {} px, not square",
                                       level.tile_width, level.tile_height),
                           "leave out --align tiles");
  }
  SetLevel(slide, nearest, mpp, plan);
  plan->downsample = level.downsample;
  plan->mode = level.jpeg_tiles ? TileMode::kCopy : TileMode::kCrop;
  plan->tile_size = level.tile_width;
  plan->stride = level.tile_width;
}

void CutFromLevels(const SlideGeometry& slide, const TileOptions& options, Plan* plan) {
  const double target = options.TargetMpp(), mpp0 = slide.mpp.mean();
  const size_t nearest = NearestLevel(slide, target);
  if (std::abs(LevelMpp(slide, nearest) / target - 1) <= kLevelTolerance) {
    SetLevel(slide, nearest, LevelMpp(slide, nearest), plan);
    plan->downsample = plan->level_downsample;
    plan->mode = TileMode::kCrop;
  } else {
    if (!options.allow_upsample && target < mpp0 * (1 - kUpsampleTolerance)) {
      throw core::SlideError(
          fmt::format("{:.4g} um/px is finer than the slide's {:.4g} um/px", target, mpp0),
          fmt::format("ask for --mpp {:.4g} or coarser, or invent detail with --allow-upsample",
                      mpp0));
    }
    SetLevel(slide, NextFinerLevel(slide, target), target, plan);
    plan->mode = TileMode::kResample;
  }
  plan->tile_size = static_cast<int>(options.Size());
  plan->stride = static_cast<double>(options.Stride());
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

// Can a tile at this y be inside any region?
bool InsideRoi(const std::vector<double>& roi, double y, double side) {
  if (roi.empty()) return true;
  for (size_t i = 0; i + 3 < roi.size(); i += 4) {
    if (y >= roi[i + 1] && y + side <= roi[i + 1] + roi[i + 3]) return true;
  }
  return false;
}

// Level-0 positions of one axis. Windows of a level start at whole pixels of it; resampled tiles
// start where the stride falls, rounded to level 0.
std::vector<int64_t> Positions(const Plan& plan, double begin, double length, int64_t level_size) {
  const double scale = plan.level_downsample;
  // A level may end a little short of level 0; what it does not cover cannot be read from it.
  const double end =
      std::min(begin + length, std::floor(static_cast<double>(level_size) * scale + 0.5));
  const double side =
      std::max(plan.tile_size * plan.downsample, static_cast<double>(plan.patch_size_level0));
  const double step = plan.stride * plan.downsample;
  const double count = std::max(0.0, (end - begin - side) / step + 2);
  if (count > kMaxTiles) ThrowTooMany(plan);
  const double first = std::ceil(begin / scale - 1e-6);  // in pixels of the level
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < static_cast<int64_t>(count) + 1; ++i) {
    const double window = first + static_cast<double>(i) * plan.stride;
    const double at = plan.exact() ? std::round(window * scale)
                                   : begin + std::round(static_cast<double>(i) * step);
    if (at + side > end + 1e-6) break;
    if (plan.exact() && window + plan.tile_size > static_cast<double>(level_size)) break;
    positions.push_back(static_cast<int64_t>(at));
  }
  return positions;
}

}  // namespace

const char* RejectionName(Rejection reason) {
  switch (reason) {
    case Rejection::kTissue:
      return "tissue";
    case Rejection::kExcluded:
      return "excluded";
    case Rejection::kBlur:
      return "blur";
    case Rejection::kPen:
      return "pen";
    case Rejection::kWhite:
      return "white";
    case Rejection::kBlack:
      return "black";
    case Rejection::kFold:
      return "fold";
  }
  return "";
}

Plan MakePlan(const SlideGeometry& slide, const TissueMask* tissue, const TileOptions& options,
              const TileFilter& allowed) {
  if (!slide.mpp.known()) {
    throw core::SlideError("the slide does not say its scale (no mpp)", "give --mpp-override");
  }
  Plan plan;
  if (options.AlignsToTiles()) {
    AlignToTiles(slide, options.TargetMpp(), &plan);
  } else {
    CutFromLevels(slide, options, &plan);
  }
  const double side = plan.tile_size * plan.downsample;
  plan.patch_size_level0 = std::max<int64_t>(1, std::llround(side));
  const SlideLevel& level = slide.levels[static_cast<size_t>(plan.level)];
  const auto [left, top, width, height] = slide.bounds;
  // Stored tiles lie from 0,0 on; those outside the bounds are skipped below.
  const bool aligned = options.AlignsToTiles();
  const auto axis = [&](int64_t begin, int64_t length, int64_t level_size) {
    const int64_t from = aligned ? 0 : begin;
    return Positions(plan, static_cast<double>(from), static_cast<double>(begin + length - from),
                     level_size);
  };
  const std::vector<int64_t> xs = axis(left, width, level.width);
  const std::vector<int64_t> ys = axis(top, height, level.height);
  for (const int64_t y : ys) {
    if (y < top) continue;
    const double fy = static_cast<double>(y);
    if (!InsideRoi(options.roi, fy, side)) {
      plan.outside_roi += static_cast<int64_t>(xs.size());
      continue;
    }
    if (static_cast<double>(plan.tiles.size() + plan.rejected.size()) > kMaxTiles) {
      ThrowTooMany(plan);
    }
    for (const int64_t x : xs) {
      if (x < left) continue;
      const double fx = static_cast<double>(x);
      if (!InsideRoi(options.roi, fx, fy, side)) {
        ++plan.outside_roi;
        continue;
      }
      const double share = tissue ? tissue->Share(fx, fy, side, side) : 1;
      const auto stored_share = static_cast<float>(share);
      // A mask without a pixel of tissue rejects even at min_tissue 0.
      if (tissue && !(share >= options.min_tissue && share > 0)) {
        plan.rejected.push_back({x, y, stored_share, Rejection::kTissue});
      } else if (allowed && !allowed(x, y, plan.patch_size_level0)) {
        plan.rejected.push_back({x, y, stored_share, Rejection::kExcluded});
      } else {
        plan.tiles.push_back({x, y, stored_share});
      }
    }
  }
  return plan;
}

std::string Describe(const Plan& plan) {
  const char* how = plan.mode == TileMode::kCopy   ? "copied from"
                    : plan.mode == TileMode::kCrop ? "from"
                                                   : "resampled from";
  return fmt::format("{} tiles of {} px at {:.4g} um/px {} level {}",
                     core::Grouped(static_cast<int64_t>(plan.tiles.size())), plan.tile_size,
                     plan.tile_mpp, how, plan.level);
}

}  // namespace eosin::tiling
