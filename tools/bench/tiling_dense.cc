// SPDX-License-Identifier: Apache-2.0
// A slide is painted row by row and each row handed down the pyramid, so memory is a band of tiles
// a level, however large the slide is.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/philox.h"
#include "tools/bench/tiling_made.h"

namespace eosin::bench {
namespace {

using core::Image;

constexpr int kCell = 640;     // side of a mosaic's crops
constexpr int kMaskCell = 40;  // level-0 px a pixel of the mask

enum Kind { kTissueCrop, kEdgeCrop, kGlassCrop };

// Two rounded blobs, 48 % of the slide; grow > 1: a little larger ones.
bool InsideTissue(double x, double y, int64_t size, double grow = 1) {
  const double scale = static_cast<double>(size) / 30000;
  for (const double centre : {7584.0, 21408.0}) {
    const double u = (x - centre * scale) / (5300 * scale * grow);
    const double v = (y - 13984 * scale) / (10900 * scale * grow);
    if (u * u * u * u + v * v * v * v < 1) return true;
  }
  return false;
}

Kind KindOfCell(int64_t column, int64_t row, int64_t size) {
  const double x = (static_cast<double>(column) + 0.5) * kCell;
  const double y = (static_cast<double>(row) + 0.5) * kCell;
  if (InsideTissue(x, y, size)) return kTissueCrop;
  return InsideTissue(x, y, size, 1.03) ? kEdgeCrop : kGlassCrop;
}

// Paints rows of a mosaic of random crops, each turned or mirrored at random.
class Mosaic {
 public:
  Mosaic(Image source, int64_t size, uint64_t seed)
      : source_(std::move(source)), size_(size), seed_(seed) {
    FindCrops();
  }

  void PaintRow(int64_t y, uint8_t* rgb) const {
    const int64_t row = y / kCell;
    const int inner = static_cast<int>(y % kCell);
    for (int64_t column = 0; column * kCell < size_; ++column) {
      core::PhiloxStream draws(seed_, core::DrawPurpose::kSynth, 1, static_cast<uint32_t>(row),
                               static_cast<uint32_t>(column));
      const auto& crops = crops_[KindOfCell(column, row, size_)];
      const Crop crop = crops[draws.Below(static_cast<uint32_t>(crops.size()))];
      const uint32_t turn = draws.Below(8);
      const int count = static_cast<int>(std::min<int64_t>(kCell, size_ - column * kCell));
      for (int x = 0; x < count; ++x) {
        int u = turn & 4 ? inner : x, v = turn & 4 ? x : inner;
        if (turn & 1) u = kCell - 1 - u;
        if (turn & 2) v = kCell - 1 - v;
        std::memcpy(rgb, source_.at(crop.x + u, crop.y + v), 3);
        rgb += 3;
      }
    }
  }

 private:
  struct Crop {
    int x, y;
  };

  void FindCrops() {
    const int width = source_.width, height = source_.height;
    std::vector<int32_t> sums(static_cast<size_t>(width + 1) * (height + 1));  // of white pixels
    const auto sum = [&](int x, int y) -> int32_t& {
      return sums[static_cast<size_t>(y) * (width + 1) + x];
    };
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const uint8_t* p = source_.at(x, y);
        sum(x + 1, y + 1) =
            sum(x, y + 1) + sum(x + 1, y) - sum(x, y) + (std::min({p[0], p[1], p[2]}) > 215);
      }
    }
    core::PhiloxStream draws(seed_, core::DrawPurpose::kSynth, 0, 0);
    for (int i = 0; i < 200'000; ++i) {
      const int x = static_cast<int>(draws.Below(static_cast<uint32_t>(width - kCell + 1)));
      const int y = static_cast<int>(draws.Below(static_cast<uint32_t>(height - kCell + 1)));
      const double white = static_cast<double>(sum(x + kCell, y + kCell) - sum(x, y + kCell) -
                                               sum(x + kCell, y) + sum(x, y)) /
                           (double{kCell} * kCell);
      if (white < 0.22) Keep(kTissueCrop, {x, y});
      if (white > 0.45 && white < 0.75) Keep(kEdgeCrop, {x, y});
      if (white > 0.985) Keep(kGlassCrop, {x, y});
    }
    for (const auto& crops : crops_) {
      if (crops.empty()) {
        throw core::DataError("the source slide lacks tissue, an edge or glass of 640 x 640 px",
                              "give CMU-1-Small-Region.svs");
      }
    }
  }
  void Keep(Kind kind, Crop crop) {
    if (crops_[kind].size() < 400) crops_[kind].push_back(crop);
  }

  Image source_;
  int64_t size_;
  uint64_t seed_;
  std::array<std::vector<Crop>, 3> crops_;
};

// Takes rows of one level, cuts them into JPEG tiles and hands rows shrunk by four to the next.
class Level {
 public:
  using TileSink = std::function<void(const SplitJpeg&)>;

  Level(int64_t width, int64_t height, const MadeSlide& made, TileSink sink, Level* next)
      : width_(width), height_(height), made_(made), sink_(std::move(sink)), next_(next) {
    const int64_t columns = (width + made.tile - 1) / made.tile;
    band_ = Image(static_cast<int>(columns * made.tile), made.tile, 3);
    sums_.resize(static_cast<size_t>(width / kShrink) * 3);
    shrunk_.resize(sums_.size());
  }

  void AddRow(const uint8_t* rgb) {
    uint8_t* row = band_.row(filled_);
    std::memcpy(row, rgb, static_cast<size_t>(width_) * 3);
    for (int64_t x = width_; x < band_.width; ++x)
      std::memcpy(row + x * 3, row + (width_ - 1) * 3, 3);
    if (next_) Shrink(rgb);
    ++rows_;
    if (++filled_ == made_.tile || rows_ == height_) Encode();
  }

 private:
  void Shrink(const uint8_t* rgb) {
    if (rows_ >= height_ / kShrink * kShrink) return;  // what does not fill a row below
    const int64_t columns = width_ / kShrink;
    for (int64_t x = 0; x < columns; ++x) {
      for (int c = 0; c < 3; ++c) {
        const uint8_t* p = rgb + x * kShrink * 3 + c;
        sums_[static_cast<size_t>(x) * 3 + c] += p[0] + p[3] + p[6] + p[9];
      }
    }
    if (rows_ % kShrink != kShrink - 1) return;
    for (size_t i = 0; i < sums_.size(); ++i)
      shrunk_[i] = static_cast<uint8_t>((sums_[i] + 8) / 16);
    std::fill(sums_.begin(), sums_.end(), 0);
    next_->AddRow(shrunk_.data());
  }

  void Encode() {
    for (; filled_ < made_.tile; ++filled_)
      std::memcpy(band_.row(filled_), band_.row(filled_ - 1), band_.stride());
    Image tile(made_.tile, made_.tile, 3);
    for (int x = 0; x < band_.width; x += made_.tile) {
      for (int y = 0; y < made_.tile; ++y) std::memcpy(tile.row(y), band_.at(x, y), tile.stride());
      sink_(SplitTables(core::EncodeJpeg(tile, made_.quality, made_.subsampling)));
    }
    filled_ = 0;
  }

  const int64_t width_, height_;
  const MadeSlide& made_;
  TileSink sink_;
  Level* next_;
  Image band_;
  int filled_ = 0;    // rows of the band
  int64_t rows_ = 0;  // of the level
  std::vector<uint32_t> sums_;
  std::vector<uint8_t> shrunk_;
};

// The streams of one level in memory until the levels above them are written.
struct Kept {
  TiffLevel level;
  std::vector<SplitJpeg> tiles;
};

void WriteMask(const MadeSlide& made) {
  const int side = static_cast<int>(std::max<int64_t>(16, made.size / kMaskCell));
  const double scale = static_cast<double>(made.size) / side;
  Image mask(side, side, 1);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const auto column = static_cast<int64_t>((x + 0.5) * scale) / kCell;
      const auto row = static_cast<int64_t>((y + 0.5) * scale) / kCell;
      *mask.at(x, y) = KindOfCell(column, row, made.size) == kTissueCrop ? 255 : 0;
    }
  }
  const core::Bytes png = core::EncodePng(mask);
  core::WriteFileAtomic(made.out.string() + ".mask.png",
                        {reinterpret_cast<const char*>(png.data()), png.size()});
}

}  // namespace

void MakeDenseSlide(const MadeSlide& made) {
  const Mosaic mosaic(ReadSource(made.source, kCell), made.size, made.seed);
  TiffWriter writer(made.out);
  std::array<int64_t, 3> sides = {made.size, made.size / 4, made.size / 16};
  std::array<Kept, 3> kept;
  for (size_t i = 0; i < 3; ++i) kept[i].level = NewLevel(made, sides[i]);
  const auto keep = [&](size_t i) {
    return [&, i](const SplitJpeg& j) { kept[i].tiles.push_back(j); };
  };
  Level third(sides[2], sides[2], made, keep(2), nullptr);
  Level second(sides[1], sides[1], made, keep(1), &third);
  Level first(
      sides[0], sides[0], made, [&](const SplitJpeg& j) { AddTile(writer, j, &kept[0].level); },
      &second);
  // The thumbnail is taken from every 16th row and column.
  Image overview(static_cast<int>((made.size + 15) / 16), static_cast<int>((made.size + 15) / 16),
                 3);
  std::vector<uint8_t> row(static_cast<size_t>(made.size) * 3);
  for (int64_t y = 0; y < made.size; ++y) {
    mosaic.PaintRow(y, row.data());
    first.AddRow(row.data());
    if (y % 16 != 0) continue;
    for (int x = 0; x < overview.width; ++x)
      std::memcpy(overview.at(x, static_cast<int>(y / 16)), &row[static_cast<size_t>(x) * 48], 3);
  }
  std::vector<TiffLevel> levels = {kept[0].level, WriteThumbnail(writer, made, overview)};
  for (size_t i = 1; i < 3; ++i) {
    for (const SplitJpeg& tile : kept[i].tiles) AddTile(writer, tile, &kept[i].level);
    levels.push_back(kept[i].level);
  }
  writer.Finish(levels);
  WriteSidecar(made, levels);
  WriteMask(made);
}

}  // namespace eosin::bench
