// SPDX-License-Identifier: Apache-2.0
// What tests of views share: records of tests/fixtures/views, rendering, comparison.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/philox.h"
#include "core/image/image.h"
#include "core/stain/hed.h"
#include "core/stain/stain_jitter.h"
#include "engine/augment/apply.h"
#include "engine/augment/draw.h"
#include "tests/testing.h"

namespace eosin::testing {

inline fs::path ViewFolder() { return FixtureFolder() / "views"; }

inline const nlohmann::json& ViewManifest() {
  static const nlohmann::json manifest = [] {
    std::ifstream file(ViewFolder() / "views.json");
    return nlohmann::json::parse(file);
  }();
  return manifest;
}

// Six numbers: means, deviations.
inline core::ColorStats StatsOf(const nlohmann::json& values) {
  core::ColorStats stats;
  for (size_t c = 0; c < 3; ++c) stats.mean[c] = values[c], stats.std[c] = values[3 + c];
  return stats;
}

inline void SetStain(const nlohmann::json& item, engine::ViewParams* p) {
  namespace draw = engine::draw;
  if (item.contains("stains")) {
    float stains[2][3], alpha[2], beta[2], angle[2];
    for (size_t s = 0; s < 2; ++s) {
      for (size_t c = 0; c < 3; ++c) stains[s][c] = item["stains"][s][c];
      alpha[s] = item["alpha"][s], beta[s] = item["beta"][s], angle[s] = item["angle"][s];
    }
    draw::SetMap(core::MacenkoJitterAffine(stains, alpha, beta, angle), engine::kModelMacenko, p);
    return;
  }
  const core::ColorStats from = StatsOf(item["from"]), to = StatsOf(item["to"]);
  if (item["space"] == "hed") {
    draw::SetMap(core::ReinhardHedAffine(from, to), engine::kModelReinhardHed, p);
    return;
  }
  p->stain = item["space"] == "lab" ? engine::kStainLab : engine::kStainHsv;
  const core::ChannelMap map = core::ReinhardMap(from, to);
  for (int c = 0; c < 3; ++c) {
    p->stain_matrix[c] = map.scale[c], p->stain_offset[c] = map.offset[c];
  }
}

inline engine::ViewParams ParamsOf(const nlohmann::json& item) {
  engine::ViewParams p;
  p.crop_x = item.at("crop")[0], p.crop_y = item.at("crop")[1];
  p.crop_w = item.at("crop")[2], p.crop_h = item.at("crop")[3];
  p.hflip = item.at("hflip"), p.vflip = item.at("vflip"), p.rot90 = item.at("rot90");
  p.jitter = item.at("jitter");
  for (size_t i = 0; i < 4; ++i) p.jitter_order[i] = item.at("jitter_order")[i];
  p.brightness = item.at("brightness"), p.contrast = item.at("contrast");
  p.saturation = item.at("saturation"), p.hue = item.at("hue");
  p.gray = item.at("gray"), p.blur_sigma = item.at("blur_sigma"), p.solarize = item.at("solarize");
  p.bicubic = item.at("bicubic");
  if (!item.at("stain").is_null()) SetStain(item.at("stain"), &p);
  if (const int basis = item.at("hed"); basis != 0) {
    float alpha[3], beta[3];
    for (size_t s = 0; s < 3; ++s) {
      alpha[s] = item.at("hed_alpha")[s], beta[s] = item.at("hed_beta")[s];
    }
    const core::StainMatrix matrix = basis == 1 ? core::HedDabMatrix() : core::HedResidualMatrix();
    engine::draw::SetMap(core::HedJitterAffine(matrix, alpha, beta),
                         basis == 1 ? engine::kModelHedDab : engine::kModelHedResidual, &p);
  }
  return p;
}

// The instruction sets of this machine.
inline std::vector<engine::SimdLevel> SimdLevels() {
  std::vector<engine::SimdLevel> levels;
  for (int l = 0; l <= static_cast<int>(engine::BestSimd()); ++l) {
    levels.push_back(engine::SimdLevel(l));
  }
  return levels;
}

inline core::Image Render(const core::Image& source, const engine::ViewParams& params, int width,
                          int height, engine::SimdLevel simd = engine::BestSimd()) {
  core::Image out(width, height, 3);
  engine::ViewScratch scratch;
  engine::ApplyView(source, params, width, height, out.pixels.data(), scratch, simd);
  return out;
}

// 999 where the sizes differ.
inline int WorstDifference(const core::Image& a, const core::Image& b) {
  int worst = a.pixels.size() == b.pixels.size() ? 0 : 999;
  for (size_t i = 0; i < a.pixels.size() && worst < 999; ++i) {
    worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return worst;
}

inline core::Image Noise(int width, int height, int channels, uint32_t seed) {
  core::Image image(width, height, channels);
  core::PhiloxStream draw(seed, core::DrawPurpose::kTest, 0, 0);
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(draw.Below(256));
  return image;
}

// The twin of hash_noise in tests/parity/make_view_fixtures.py.
inline core::Image HashNoise(int size) {
  core::Image image(size, size, 3);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      for (int c = 0; c < 3; ++c) {
        uint32_t h = static_cast<uint32_t>(x) * 73856093u ^ static_cast<uint32_t>(y) * 19349663u ^
                     static_cast<uint32_t>(c) * 83492791u;
        h ^= h >> 13;
        h *= 0x5BD1E995u;
        h ^= h >> 15;
        image.at(x, y)[c] = static_cast<uint8_t>(h & 255u);
      }
    }
  }
  return image;
}

}  // namespace eosin::testing
