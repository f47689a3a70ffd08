// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/tiling_case.h"

#include <sys/resource.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "tiling/tissue/tissue.h"

namespace eosin::bench {
namespace {

using nlohmann::json;

double CpuSeconds() {
  double seconds = 0;
  for (const auto who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    getrusage(who, &usage);
    seconds += static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  }
  return seconds;
}

double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The stored tiles inside the slide that are at least half tissue.
std::vector<Place> TissueTiles(const std::filesystem::path& mask_file, int64_t size, int tile) {
  const auto mask = tiling::ReadTissueMask(mask_file, size, size);
  std::vector<Place> places;
  for (int64_t y = 0; y + tile <= size; y += tile) {
    for (int64_t x = 0; x + tile <= size; x += tile) {
      if (mask.Share(static_cast<double>(x), static_cast<double>(y), tile, tile) >= 0.5)
        places.push_back({x, y});
    }
  }
  return places;
}

std::vector<Place> Grid(const std::vector<Region>& regions, double side, double step) {
  std::vector<Place> places;
  for (const Region& region : regions) {
    const auto columns =
        static_cast<int64_t>((static_cast<double>(region.width) - side) / step) + 1;
    const auto rows = static_cast<int64_t>((static_cast<double>(region.height) - side) / step) + 1;
    for (int64_t j = 0; j < rows; ++j) {
      for (int64_t i = 0; i < columns; ++i) {
        places.push_back(
            {std::llround(static_cast<double>(region.x) + static_cast<double>(i) * step),
             std::llround(static_cast<double>(region.y) + static_cast<double>(j) * step)});
      }
    }
  }
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.y != b.y ? a.y < b.y : a.x < b.x;
  });
  return places;
}

}  // namespace

Case ReadCase(const std::filesystem::path& slide, const std::string& name) {
  if (name.size() != 1 || std::string("abcdw").find(name) == std::string::npos) {
    throw core::ConfigError("there is no case " + name, "cases are a, b, c, d and w");
  }
  Case result;
  result.name = name;
  result.slide = slide;
  int64_t size = 0;
  try {
    const json sidecar = json::parse(core::ReadFile(slide.string() + ".json"));
    size = sidecar.at("size");
    result.tile = sidecar.at("tile");
    result.mpp = sidecar.value("mpp", 0.499);
    for (const auto& box : sidecar.at("regions")) {
      if (result.regions.size() < 2) result.regions.push_back({box[0], box[1], box[2], box[3]});
    }
  } catch (const json::exception& error) {
    throw core::DataError(slide.string() + ".json is no sidecar: " + error.what(),
                          "make the slide with bench_tiling make");
  }
  result.side = result.step = name == "d" ? kPatch * kResampledMpp / result.mpp : kPatch;
  if (name == "c") {
    result.step = kPatch / 2;
    result.regions.resize(1);
    result.regions[0].height /= 2;
  }
  if (name == "w") {
    result.side = result.step = result.tile;
    result.mask = slide.string() + ".mask.png";
    result.patches = TissueTiles(result.mask, size, result.tile);
  } else {
    result.patches = Grid(result.regions, result.side, result.step);
  }
  return result;
}

Clock::Clock() : wall_(WallSeconds()), cpu_(CpuSeconds()) {}

int Clock::Print(const std::string& case_name, const std::string& mode,
                 const Measured& measured) const {
  const double wall = WallSeconds() - wall_, cpu = CpuSeconds() - cpu_;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  json line = {{"case", case_name},
               {"mode", mode},
               {"workers", measured.workers},
               {"patches", measured.patches},
               {"wall", wall},
               {"cpu", cpu},
               {"rss_mb", static_cast<double>(usage.ru_maxrss) / 1024},
               {"in_bytes", measured.in_bytes},
               {"out_bytes", measured.out_bytes},
               {"tiles_covered", measured.tiles_covered},
               {"tiles_decoded", measured.tiles_decoded},
               {"version", measured.version}};
  if (!measured.error.empty()) line["error"] = measured.error;
  std::printf("%s\n", line.dump().c_str());
  return measured.error.empty() ? 0 : 1;
}

}  // namespace eosin::bench
