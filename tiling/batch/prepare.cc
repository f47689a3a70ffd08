// SPDX-License-Identifier: Apache-2.0
#include "tiling/batch/prepare.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "tiling/batch/slide_job.h"

namespace eosin::tiling {
namespace {

// A level of at most this many pixels is decoded for pictures alone; more would cost a copied slide
// more than copying it.
constexpr int64_t kPicturePixels = int64_t{16} << 20;
constexpr double kPictureBytesPerPixel = 0.3;  // JPEG, generous

double LongestSide(const Slide& slide) {
  return static_cast<double>(std::max(slide.width(), slide.height()));
}

Overview ThumbnailOverview(const Slide& slide) {
  const double shape = static_cast<double>(slide.width()) / static_cast<double>(slide.height());
  Overview overview;
  for (const std::string& name : slide.associated_names()) {
    if (name != "thumbnail") continue;
    try {
      core::Image image = slide.ReadAssociated(name);
      const double own = static_cast<double>(image.width) / static_cast<double>(image.height);
      if (std::abs(own / shape - 1) < 0.02) {
        overview.scale = static_cast<double>(slide.width()) / image.width;
        overview.image = std::move(image);
        return overview;
      }
    } catch (const core::SlideError&) {  // a picture less
    }
  }
  overview.scale = std::max(1.0, LongestSide(slide) / kPreviewSide);
  const auto side = [&](int64_t length) {
    return std::max(1, static_cast<int>(std::ceil(static_cast<double>(length) / overview.scale)));
  };
  overview.image = core::Image(side(slide.width()), side(slide.height()), 3, 245);
  return overview;
}

Overview PictureOverview(const Slide& slide, int threads) {
  // Rather a little coarser than the pictures than twice as fine: scaled DCT is cheaper.
  const double mpp = 1.5 * LongestSide(slide) * slide.mpp().mean() / kPreviewSide;
  const double scale = mpp / slide.mpp().mean();
  // The level that ReadOverview takes: the coarsest that is not coarser than asked.
  int64_t pixels = slide.width() * slide.height();
  for (const SlideLevel& level : slide.levels()) {
    if (level.downsample <= scale * 1.01) pixels = std::min(pixels, level.width * level.height);
  }
  if (pixels > kPicturePixels) return ThumbnailOverview(slide);
  try {
    return ReadOverview(slide, mpp, threads);
  } catch (const core::SlideError&) {  // no part of that level can be read; the tiles may be fine
    return ThumbnailOverview(slide);
  }
}

// 255 where at least half of a block x block cell is.
core::Image ShrinkUnknown(const core::Image& unknown, int block) {
  core::Image out((unknown.width + block - 1) / block, (unknown.height + block - 1) / block, 1);
  for (int y = 0; y < out.height; ++y) {
    const int bottom = std::min((y + 1) * block, unknown.height);
    for (int x = 0; x < out.width; ++x) {
      const int right = std::min((x + 1) * block, unknown.width);
      int64_t set = 0;
      for (int v = y * block; v < bottom; ++v) {
        for (int u = x * block; u < right; ++u) set += *unknown.at(u, v) != 0;
      }
      const int64_t cell = int64_t{bottom - y * block} * (right - x * block);
      *out.at(x, y) = 2 * set >= cell ? 255 : 0;
    }
  }
  return out;
}

// Tissue is found at its own scale; pictures of small slides are finer.
void FindTissue(const Slide& slide, const TileOptions& options, int threads, Prepared* prepared) {
  const double mpp0 = slide.mpp().mean();
  const double mpp = options.tissue_settings.overview_mpp;
  prepared->overview =
      ReadOverview(slide, std::min(mpp, LongestSide(slide) * mpp0 / kPreviewSide), threads);
  const Overview& fine = prepared->overview;
  const int block = std::max(1, static_cast<int>(mpp / (fine.scale * mpp0) + 0.01));
  core::Image mask;
  if (block == 1) {
    mask = SegmentTissue(fine, fine.scale * mpp0, options.tissue, options.tissue_settings);
  } else {
    Overview coarse;
    coarse.image = ShrinkByMean(fine.image, block);
    coarse.scale = fine.scale * block;
    coarse.bad_tiles = fine.bad_tiles;
    if (!fine.unknown.empty()) {
      coarse.unknown = ShrinkUnknown(fine.unknown, block);
    }
    mask = SegmentTissue(coarse, coarse.scale * mpp0, options.tissue, options.tissue_settings);
  }
  prepared->tissue = TissueMask(std::move(mask), fine.scale * block);
}

[[noreturn]] void ThrowNoTiles(const Slide& slide, const Prepared& prepared,
                               const TileOptions& options) {
  const Plan& plan = prepared.plan;
  const std::string name = slide.path().string();
  if (prepared.tissue && !prepared.tissue->HasTissue()) {
    throw core::SlideError("no tissue found in " + name,
                           "look at the slide; --tissue none takes all of it, --tissue MASK.png "
                           "tells where the tissue is");
  }
  const bool excluded =
      std::any_of(plan.rejected.begin(), plan.rejected.end(),
                  [](const RejectedTile& tile) { return tile.reason == Rejection::kExcluded; });
  if (excluded) {
    throw core::SlideError("the annotations of " + name + " leave no room for a tile",
                           "take smaller tiles, or look at the include and exclude regions");
  }
  if (!plan.rejected.empty()) {
    throw core::SlideError(
        fmt::format("no tissue found in {} that fills {:.4g} of a tile", name, options.min_tissue),
        "lower --min-tissue or take smaller tiles");
  }
  if (plan.outside_roi > 0) {
    throw core::SlideError("no tile of " + name + " lies wholly inside a region of interest",
                           "make the --roi larger: the grid starts at 0,0 of the slide, not of it");
  }
  throw core::SlideError(fmt::format("{} is smaller than one tile of {} x {} level-0 pixels", name,
                                     plan.patch_size_level0, plan.patch_size_level0),
                         "take smaller tiles (--size) or a finer scale (--mpp)");
}

}  // namespace

Previews Prepared::Draw(const std::vector<PlannedTile>& kept,
                        const std::vector<RejectedTile>& quality,
                        const std::vector<PlannedTile>& bad) const {
  if (quality.empty()) return DrawPreviews(overview, mask(), plan, kept, plan.rejected, bad);
  std::vector<RejectedTile> all = plan.rejected;
  all.insert(all.end(), quality.begin(), quality.end());
  return DrawPreviews(overview, mask(), plan, kept, all, bad);
}

int64_t Prepared::PictureBytes() const {
  const core::Image& image = overview.image;
  const double shrink = std::max(1.0, std::max(image.width, image.height) / double{kPreviewSide});
  return static_cast<int64_t>(3 * kPictureBytesPerPixel * image.width * image.height /
                              (shrink * shrink)) +
         4096;
}

void FindOverview(const Slide& slide, const SlideEntry& entry, const TileOptions& options,
                  int threads, Prepared* prepared) {
  if (options.UsesMaskFile()) {
    prepared->tissue =
        ReadTissueMask(MaskPath(options, entry.Stem()), slide.width(), slide.height());
  }
  if (options.tissue == "none" || options.UsesMaskFile()) {
    prepared->overview = PictureOverview(slide, threads);
  } else {
    FindTissue(slide, options, threads, prepared);
  }
}

Prepared Prepare(const Slide& slide, const SlideEntry& entry, const ClassMap& classes,
                 const TileOptions& options, int threads) {
  Prepared prepared;
  prepared.classes = classes;
  TileOptions probe = options;  // refuses the scale before a pixel is read, and plans nothing
  probe.roi = {0, 0, 0.5, 0.5};
  MakePlan(slide.geometry(), nullptr, probe);

  TileFilter allowed;
  if (!entry.annotation.empty()) {
    prepared.labels.emplace(ReadAnnotations(entry.annotation).annotations, classes);
    allowed = [labels = &*prepared.labels](int64_t x, int64_t y, int64_t side) {
      return labels->Allows(x, y, side);
    };
  }
  FindOverview(slide, entry, options, threads, &prepared);
  prepared.plan = MakePlan(slide.geometry(), prepared.mask(), options, allowed);
  if (prepared.plan.tiles.empty()) ThrowNoTiles(slide, prepared, options);
  return prepared;
}

}  // namespace eosin::tiling
