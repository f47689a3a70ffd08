// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/tiling_made.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/resample.h"
#include "tiling/slides/slide.h"

namespace eosin::bench {
namespace {

using core::Image;
using nlohmann::json;

// Squares wholly inside tissue.
std::vector<Region> TissueRegions(int64_t size) {
  const double scale = static_cast<double>(size) / 30000;
  const auto snap = [&](double v) { return static_cast<int64_t>(v * scale) / 256 * 256; };
  const int64_t side = std::max<int64_t>(256, static_cast<int64_t>(8000 * scale));
  std::vector<Region> regions;
  for (const double y : {5120.0, 14848.0})
    for (const double x : {3584.0, 17408.0}) regions.push_back({snap(x), snap(y), side, side});
  return regions;
}

std::string Description(const MadeSlide& made, const std::string& shrunk, bool first) {
  const std::string whole = std::to_string(made.size) + "x" + std::to_string(made.size);
  const std::string tile = std::to_string(made.tile) + "x" + std::to_string(made.tile);
  char mpp[32];
  std::snprintf(mpp, sizeof mpp, "%.4f", made.mpp);
  std::string text = "Aperio Image Library v11.2.1 \r\n" + whole + " [0,0 " + whole + "] (" + tile +
                     ")" + shrunk + " JPEG/YCC Q=" + std::to_string(made.quality);
  if (first) {
    text += std::string(
                "|AppMag = 20|StripeWidth = 2040|ScanScope ID = MADE|Filename = mosaic|MPP = ") +
            mpp + "|Left = 0.0|Top = 0.0|OriginalWidth = " + std::to_string(made.size) +
            "|OriginalHeight = " + std::to_string(made.size);
  }
  return text;
}

}  // namespace

Image ReadSource(const std::filesystem::path& path, int least) {
  const auto slide = tiling::Slide::Open(path);
  if (slide->width() < least || slide->height() < least ||
      slide->width() * slide->height() > 1 << 28) {
    throw core::DataError(path.string() + " is too small or too large to take crops from",
                          "give CMU-1-Small-Region.svs or a slide of a few thousand pixels a side");
  }
  return slide->ReadRegion(0, 0, 0, static_cast<int>(slide->width()),
                           static_cast<int>(slide->height()));
}

TiffLevel NewLevel(const MadeSlide& made, int64_t side) {
  TiffLevel level;
  level.width = level.height = side;
  level.tile = made.tile;
  level.subsampling = made.subsampling;
  const std::string text = std::to_string(side) + "x" + std::to_string(side);
  level.description = Description(made, side == made.size ? "" : " -> " + text, side == made.size);
  return level;
}

void AddTile(TiffWriter& writer, const SplitJpeg& jpeg, TiffLevel* level) {
  if (level->tables.empty()) level->tables = jpeg.tables;
  level->offsets.push_back(writer.Append(jpeg.stream));
  level->counts.push_back(static_cast<uint32_t>(jpeg.stream.size()));
}

TiffLevel WriteThumbnail(TiffWriter& writer, const MadeSlide& made, const Image& picture) {
  const Image small = core::Thumbnail(picture, 768);
  TiffLevel level;
  level.width = small.width, level.height = small.height;
  level.strip_rows = 16;
  level.description = "Aperio Image Library v11.2.1 \r\n" + std::to_string(made.size) + "x" +
                      std::to_string(made.size) + " -> " + std::to_string(small.width) + "x" +
                      std::to_string(small.height) + " - ";
  for (int y = 0; y < small.height; y += 16) {
    Image strip(small.width, std::min(16, small.height - y), 3);
    std::memcpy(strip.row(0), small.row(y), strip.pixels.size());
    AddTile(writer, SplitTables(core::EncodeJpeg(strip, 75)), &level);
  }
  return level;
}

void WriteSidecar(const MadeSlide& made, const std::vector<TiffLevel>& levels) {
  json sidecar = {{"size", made.size},
                  {"tile", made.tile},
                  {"quality", made.quality},
                  {"subsampling", made.subsampling == core::Subsampling::k444 ? "444" : "420"},
                  {"mpp", made.mpp},
                  {"bytes", std::filesystem::file_size(made.out)},
                  {"regions", json::array()},
                  {"levels", json::array()}};
  for (const Region& r : TissueRegions(made.size))
    sidecar["regions"].push_back({r.x, r.y, r.width, r.height});
  for (const TiffLevel& level : levels) {
    if (level.tile == 0) continue;
    int64_t bytes = 0;
    for (const uint32_t count : level.counts) bytes += count;
    sidecar["levels"].push_back(
        {{"size", {level.width, level.height}}, {"tiles", level.offsets.size()}, {"bytes", bytes}});
  }
  core::WriteFileAtomic(made.out.string() + ".json", sidecar.dump(1));
}

}  // namespace eosin::bench
