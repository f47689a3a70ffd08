// SPDX-License-Identifier: Apache-2.0
// eosin in this process: the engine alone, and whole slides to stores.
#include <fmt/format.h>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/store/tile_store.h"
#include "tiling/batch/batch.h"
#include "tiling/extract/walk.h"
#include "tools/bench/tiling_modes.h"

namespace eosin::bench {
namespace {

tiling::TileOptions OptionsOf(const Case& asked, bool scores) {
  tiling::TileOptions options;
  options.mpp = asked.resampled() ? kResampledMpp : asked.mpp;
  if (asked.name == "c") options.stride = kPatch / 2;
  if (asked.name == "w" || (asked.name == "a" && asked.tile == kPatch)) {
    options.align = "tiles";
  } else {
    options.size = kPatch;
  }
  options.tissue = asked.name == "w" ? asked.mask.string() : "none";
  for (const Region& r : asked.name == "w" ? std::vector<Region>{} : asked.regions) {
    for (const int64_t v : {r.x, r.y, r.width, r.height})
      options.roi.push_back(static_cast<double>(v));
  }
  if (!scores) options.quality = options.stain = "none";
  options.Check();
  return options;
}

// The plan eosin makes for the regions, with the case's own patches.
tiling::Plan PlanOf(const Case& asked, const tiling::Slide& slide) {
  tiling::TileOptions options = OptionsOf(asked, false);
  options.align = "none";
  options.size = kPatch;
  options.tissue = "none";
  tiling::Plan plan = tiling::MakePlan(slide.geometry(), nullptr, options);
  plan.tiles.clear();
  for (const Place& place : asked.patches) plan.tiles.push_back({place.x, place.y, 1});
  return plan;
}

int64_t FolderBytes(const std::filesystem::path& folder) {
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  return bytes;
}

}  // namespace

int RunEosin(const Case& asked, const std::string& work, int threads,
             const std::filesystem::path& folder) {
  if (work != "read" && work != "own" && work != "scored") {
    throw core::ConfigError("eosin knows no mode " + work, "modes are read, own and scored");
  }
  Measured measured;
  measured.workers = threads;
  if (work == "read") {
    const Clock clock;
    const auto slide = tiling::Slide::Open(asked.slide);
    const tiling::Plan plan = PlanOf(asked, *slide);
    std::vector<int64_t> made(static_cast<size_t>(threads));
    const tiling::WalkStats stats =
        tiling::WalkTiles(*slide, plan, threads,
                          [&](int thread, int64_t, const core::Image* tile, const std::string&) {
                            made[static_cast<size_t>(thread)] +=
                                tile && tile->width == kPatch && tile->height == kPatch;
                          });
    for (const int64_t count : made) measured.patches += count;
    measured.tiles_covered = stats.tiles_covered;
    measured.tiles_decoded = stats.tiles_decoded;
    measured.version = slide->reader();
    if (measured.patches != static_cast<int64_t>(asked.patches.size()))
      measured.error = "not every patch was made: " + stats.first_error;
    return clock.Print(asked.name, work, measured);
  }
  tiling::BatchOptions batch;
  batch.threads = threads;
  batch.quiet = true;
  const Clock clock;
  const auto results = tiling::TileSlides({{.slide = asked.slide}},
                                          OptionsOf(asked, work == "scored"), folder, batch);
  const tiling::SlideResult& result = results.at(0);
  measured.patches = result.tiles;
  measured.out_bytes = FolderBytes(folder);
  measured.version = result.reader + ", " + result.mode;
  if (result.status != "done") measured.error = result.status + ": " + result.reason;
  return clock.Print(asked.name, work, measured);
}

int PrintStoreBytes(const std::filesystem::path& slide_file,
                    const std::filesystem::path& store_file) {
  const auto slide = tiling::Slide::Open(slide_file);
  const core::TileStoreReader store(store_file);
  const int level = static_cast<int>(store.info().patch_level);
  if (level < 0)
    throw core::StoreError("the store is resampled", "give one made with --align tiles");
  const tiling::SlideLevel& shape = slide->level(level);
  int64_t source = 0, tiles = 0, previews = 0;
  for (int64_t i = 0; i < store.size(); ++i) {
    const auto at = store.coords(i);
    const auto column =
        static_cast<int64_t>(static_cast<double>(at.x) / shape.downsample + 0.5) / shape.tile_width;
    const auto row = static_cast<int64_t>(static_cast<double>(at.y) / shape.downsample + 0.5) /
                     shape.tile_height;
    source += slide->StoredBytes(level, row * shape.columns() + column);
    tiles += static_cast<int64_t>(store.ReadBytes(i).size());
  }
  for (const std::string& name : store.preview_names())
    previews += static_cast<int64_t>(store.ReadPreview(name).size());
  const nlohmann::json line = {{"patches", store.size()},
                               {"source_bytes", source},
                               {"tile_bytes", tiles},
                               {"preview_bytes", previews},
                               {"file_bytes", std::filesystem::file_size(store_file)}};
  std::printf("%s\n", line.dump().c_str());
  return 0;
}

}  // namespace eosin::bench
