// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/tile_maker.h"

#include <algorithm>
#include <cmath>

#include "tiling/tissue/overview.h"
#include "tiling/tissue/quality.h"

namespace eosin::tiling {
namespace {

constexpr int kLeastSide = 8;  // of a picture that can be scored

}  // namespace

TileScores::TileScores() {
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  quality = {kNone, kNone, kNone, kNone, kNone};
  stain.fill(kNone);
}

TileMaker::TileMaker(const Plan& plan, const TileOptions& options)
    : tile_mpp_(plan.tile_mpp),
      score_(options.NeedsScores()),
      stain_(options.stain != "none"),
      limits_(options.limits),
      encoding_(options.encoding),
      jpeg_quality_(static_cast<int>(options.jpeg_quality)) {
  while (score_shrink_ < 8 && plan.tile_size % (2 * score_shrink_) == 0 &&
         plan.tile_size / (2 * score_shrink_) >= kLeastSide &&
         tile_mpp_ * 2 * score_shrink_ <= 1.25 * kScoreMpp) {
    score_shrink_ *= 2;
  }
}

void TileMaker::Score(const core::Image& rgb, int shrink, TileScores* scores) const {
  if (!this->scores()) return;
  double mpp = tile_mpp_ * shrink;
  const int block = std::clamp(static_cast<int>(std::lround(kScoreMpp / mpp)), 1,
                               std::max(1, rgb.width / kLeastSide));
  core::Image means;
  if (block > 1) means = ShrinkByMean(rgb, block);
  const core::Image& small = block > 1 ? means : rgb;
  mpp *= block;
  if (score_) {
    scores->quality = ScoreTile(small, mpp);
    scores->exceeded = limits_.Exceeded(scores->quality);
  }
  if (stain_ && scores->exceeded < 0) scores->stain = core::MeasureStain(small);
}

void TileMaker::Encode(const core::Image& rgb, core::Bytes* bytes) const {
  if (encoding_ == "raw") {
    *bytes = rgb.pixels;
  } else if (encoding_ == "png") {
    *bytes = core::EncodePng(rgb);
  } else {
    core::EncodeJpeg(rgb, jpeg_quality_, core::Subsampling::k420, bytes);
  }
}

}  // namespace eosin::tiling
