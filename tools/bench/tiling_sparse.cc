// SPDX-License-Identifier: Apache-2.0
// A slide of any size that is nearly all glass: what a mask, a plan and a walk cost in memory when
// the slide is huge and the tissue is not. Its levels agree in where tissue is, not in each pixel.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/image/resample.h"
#include "tools/bench/tiling_made.h"

namespace eosin::bench {
namespace {

using core::Image;

constexpr uint8_t kGlass = 243;

// Three discs; lengths in level-0 pixels.
struct Discs {
  double radius;
  std::array<std::array<double, 2>, 3> centres;

  bool Near(double x, double y, double side) const {  // does the square touch one?
    return std::any_of(centres.begin(), centres.end(), [&](const auto& c) {
      const double dx = c[0] - std::clamp(c[0], x, x + side);
      const double dy = c[1] - std::clamp(c[1], y, y + side);
      return dx * dx + dy * dy < radius * radius;
    });
  }
};

Discs PlaceDiscs(const MadeSlide& made) {
  const double area = static_cast<double>(made.tissue_tiles) * made.tile * made.tile;
  Discs discs{std::sqrt(area / (3 * M_PI)), {{{0.22, 0.31}, {0.71, 0.45}, {0.4, 0.83}}}};
  for (auto& centre : discs.centres)
    for (double& c : centre) c *= static_cast<double>(made.size);
  return discs;
}

// One crop of the source, repeated, where the discs are. x, y: of the tile, in pixels of its level.
void PaintTile(const Discs& discs, const Image& texture, int64_t x, int64_t y, double scale,
               Image* tile) {
  for (int v = 0; v < tile->height; ++v) {
    for (int u = 0; u < tile->width; ++u) {
      uint8_t* p = tile->at(u, v);
      if (discs.Near(static_cast<double>(x + u) * scale, static_cast<double>(y + v) * scale,
                     scale)) {
        const auto column = static_cast<int>((x + u) % texture.width);
        const auto row = static_cast<int>((y + v) % texture.height);
        std::memcpy(p, texture.at(column, row), 3);
      } else {
        std::memset(p, kGlass, 3);
      }
    }
  }
}

}  // namespace

void MakeSparseSlide(const MadeSlide& made) {
  const Image source = ReadSource(made.source, 512);
  const int side = std::min({source.width, source.height, 1024}) / 64 * 64;
  Image texture(side, side, 3);
  for (int y = 0; y < side; ++y) {
    std::memcpy(texture.row(y),
                source.at((source.width - side) / 2, (source.height - side) / 2 + y),
                texture.stride());
  }
  const Discs discs = PlaceDiscs(made);
  TiffWriter writer(made.out);
  std::vector<TiffLevel> levels;
  Image tile(made.tile, made.tile, 3, kGlass);
  const SplitJpeg glass = SplitTables(core::EncodeJpeg(tile, made.quality, made.subsampling));
  const uint32_t shared = writer.Append(glass.stream);
  for (int scale = 1; scale <= 64 && made.size / scale >= 1024; scale *= kShrink) {
    TiffLevel level = NewLevel(made, made.size / scale);
    level.tables = glass.tables;
    const Image shrunk = core::Resize(texture, side / scale, side / scale);
    for (int64_t y = 0; y < level.height; y += made.tile) {
      for (int64_t x = 0; x < level.width; x += made.tile) {
        if (discs.Near(static_cast<double>(x * scale), static_cast<double>(y * scale),
                       static_cast<double>(made.tile) * scale)) {
          PaintTile(discs, shrunk, x, y, scale, &tile);
          AddTile(writer, SplitTables(core::EncodeJpeg(tile, made.quality, made.subsampling)),
                  &level);
        } else {
          level.offsets.push_back(shared);
          level.counts.push_back(static_cast<uint32_t>(glass.stream.size()));
        }
      }
    }
    levels.push_back(level);
    if (scale == 1) levels.push_back(WriteThumbnail(writer, made, Image(768, 768, 3, kGlass)));
  }
  writer.Finish(levels);
  WriteSidecar(made, levels);
}

}  // namespace eosin::bench
