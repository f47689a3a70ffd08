// SPDX-License-Identifier: Apache-2.0
#include "tiling/extract/predict.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "core/store/schema.h"
#include "tiling/extract/copy.h"
#include "tiling/extract/coverage.h"
#include "tiling/extract/extract.h"
#include "tiling/extract/tile_maker.h"
#include "tiling/extract/walk.h"

namespace eosin::tiling {
namespace {

constexpr int64_t kSamples = 48;
constexpr double kCoreYield = 0.92;  // of a further core, in work done a second

double Seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

double AsDouble(int64_t value) { return static_cast<double>(value); }

// The middle tile of each of `kSamples` equal stretches of the plan.
std::vector<int64_t> SampleOf(const Plan& plan) {
  const int64_t count = static_cast<int64_t>(plan.tiles.size());
  const int64_t samples = std::min(count, kSamples);
  std::vector<int64_t> sample;
  for (int64_t s = 0; s < samples; ++s) sample.push_back((2 * s + 1) * count / (2 * samples));
  return sample;
}

// Bytes of an HDF5 dataset of `count` elements in chunks: the last is stored whole.
int64_t Chunked(int64_t count, int64_t element, int64_t chunk) {
  return (count + chunk - 1) / chunk * chunk * element;
}

int64_t StoreBytes(int64_t tile_bytes, int64_t tiles, const TileOptions& options) {
  int64_t bytes = 32 << 10;  // attributes, headers, indices
  bytes += tile_bytes + (tile_bytes / core::schema::kBytesChunk) * 64;  // and the chunks' index
  bytes += Chunked(tiles, 16, core::schema::kCoordsChunk) + 8 * (tiles + 1);  // coords, offsets
  bytes += 5 * tiles;                                                         // tissue, status
  if (options.quality != "none") bytes += 4 * static_cast<int64_t>(kQualityNames.size()) * tiles;
  if (options.stain != "none") bytes += int64_t{sizeof(core::StainRow)} * tiles;
  return bytes;
}

// What the encoded size of a planned tile goes by: compressed bytes of the stored tiles it covers,
// by the share that it covers.
class CoveredBytes {
 public:
  CoveredBytes(const Slide& slide, const Plan& plan) : slide_(slide), plan_(plan) {}

  double Of(const PlannedTile& tile) const {
    const SlideLevel& level = slide_.level(plan_.level);
    const double scale = plan_.level_downsample;
    const double side = plan_.tile_size * plan_.downsample / scale;
    const double left = AsDouble(tile.x) / scale, top = AsDouble(tile.y) / scale;
    const double width = level.tile_width, height = level.tile_height;
    const auto last = [](double end, double tile_side, int64_t count) {
      return std::min(count, static_cast<int64_t>(std::ceil(end / tile_side - 1e-9)));
    };
    double sum = 0;
    for (auto row = static_cast<int64_t>(top / height);
         row < last(top + side, height, level.rows()); ++row) {
      const double y = AsDouble(row) * height;
      const double down = std::min(y + height, top + side) - std::max(y, top);
      for (auto column = static_cast<int64_t>(left / width);
           column < last(left + side, width, level.columns()); ++column) {
        const double x = AsDouble(column) * width;
        const double across = std::min(x + width, left + side) - std::max(x, left);
        const int64_t bytes = slide_.StoredBytes(plan_.level, row * level.columns() + column);
        sum += AsDouble(bytes) * across * down / (width * height);
      }
    }
    return sum;
  }

 private:
  const Slide& slide_;
  const Plan& plan_;
};

struct Sample {
  int64_t bytes = 0, kept = 0;
  double seconds = 0;  // of one thread, for the whole plan
};

// Copied tiles: what a tile gains by its tables is measured, the rest the slide tells.
Sample CopySample(const Slide& slide, const Plan& plan, const TileMaker& maker,
                  const std::vector<int64_t>& sample, int64_t* gain) {
  Sample out;
  TileBatch batch;
  TileCopier copier(slide, plan, maker);
  std::vector<int64_t> gains;
  const double start = Seconds();
  for (const int64_t i : sample) {
    copier.Copy(i, &batch);
    const TileRecord& record = batch.tiles.back();
    if (record.scores.exceeded < 0) ++out.kept;
    if (record.size == 0) continue;
    const int64_t index = TileCopier::StoredIndex(slide, plan, i);
    const int64_t stored = slide.StoredBytes(plan.level, index);
    gains.push_back(static_cast<int64_t>(record.size) - stored);
  }
  out.bytes = static_cast<int64_t>(batch.bytes.size());
  out.seconds = (Seconds() - start) * AsDouble(static_cast<int64_t>(plan.tiles.size())) /
                AsDouble(static_cast<int64_t>(sample.size()));
  if (!gains.empty()) {
    std::nth_element(gains.begin(), gains.begin() + static_cast<ptrdiff_t>(gains.size() / 2),
                     gains.end());
    *gain = gains[gains.size() / 2];
  }
  return out;
}

Sample MakeSample(const Slide& slide, const Plan& plan, const TileMaker& maker,
                  const std::vector<int64_t>& sample) {
  Plan part = plan;
  part.rejected.clear();
  part.tiles.clear();
  for (const int64_t i : sample) part.tiles.push_back(plan.tiles[static_cast<size_t>(i)]);
  Sample out;
  core::Bytes bytes;
  double making = 0;
  const double start = Seconds();
  const auto sink = [&](int, int64_t, const core::Image* tile, const std::string&) {
    if (!tile) {
      ++out.kept;
      return;
    }
    const double begin = Seconds();
    TileScores scores;
    maker.Score(*tile, 1, &scores);
    if (scores.exceeded < 0) {
      maker.Encode(*tile, &bytes);
      out.bytes += static_cast<int64_t>(bytes.size());
      ++out.kept;
    }
    making += Seconds() - begin;
  };
  const WalkStats stats = WalkTiles(slide, part, 1, sink);
  const double decoding = Seconds() - start - making;
  const Coverage coverage(slide.geometry(), plan);
  out.seconds = decoding * AsDouble(coverage.slots()) / AsDouble(stats.tiles_decoded) +
                making * AsDouble(static_cast<int64_t>(plan.tiles.size())) /
                    AsDouble(static_cast<int64_t>(sample.size()));
  return out;
}

}  // namespace

Prediction Predict(const Slide& slide, const Plan& plan, const TileOptions& options, int threads) {
  Prediction prediction;
  const int64_t count = static_cast<int64_t>(plan.tiles.size());
  const std::vector<int64_t> sample = SampleOf(plan);
  const TileMaker maker(plan, options);
  threads = std::max(1, threads);
  if (count == 0) {
    prediction.store_bytes = StoreBytes(0, 0, options);
    return prediction;
  }
  Sample made;
  const double samples = AsDouble(static_cast<int64_t>(sample.size()));
  if (plan.mode == TileMode::kCopy) {
    int64_t gain = 0, stored = 0, present = 0;
    made = CopySample(slide, plan, maker, sample, &gain);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t bytes = slide.StoredBytes(plan.level, TileCopier::StoredIndex(slide, plan, i));
      stored += bytes;
      present += bytes > 0;
    }
    prediction.tile_bytes = stored + gain * present;
    if (options.limits.Any()) {
      prediction.tile_bytes =
          static_cast<int64_t>(AsDouble(prediction.tile_bytes) * AsDouble(made.kept) / samples);
    }
  } else {
    made = MakeSample(slide, plan, maker, sample);
    const CoveredBytes covered(slide, plan);
    double all = 0, sampled = 0;
    for (const PlannedTile& tile : plan.tiles) all += covered.Of(tile);
    for (const int64_t i : sample) sampled += covered.Of(plan.tiles[static_cast<size_t>(i)]);
    const double factor = sampled > 0 ? all / sampled : AsDouble(count) / samples;
    prediction.tile_bytes = static_cast<int64_t>(AsDouble(made.bytes) * factor);
  }
  const auto tiles = static_cast<int64_t>(AsDouble(count) * AsDouble(made.kept) / samples + 0.5);
  prediction.store_bytes = StoreBytes(prediction.tile_bytes, tiles, options);
  prediction.seconds = made.seconds / (1 + kCoreYield * (threads - 1));
  return prediction;
}

}  // namespace eosin::tiling
