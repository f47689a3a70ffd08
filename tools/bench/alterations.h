// SPDX-License-Identifier: Apache-2.0
// Ways in which a picture comes back under another name: turned, re-encoded, re-stained, brighter.
// For measuring and testing the search for copies (segment/study/leaks/fingerprint.h).
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/image/codec.h"
#include "core/image/resample.h"
#include "core/stain/stain_shift.h"

namespace eosin::tools {

// Transposed for turns 4 to 7, then mirrored: the eight symmetries of a square.
inline core::Image Turn(const core::Image& image, int turn) {
  const bool transpose = turn & 4;
  core::Image out(transpose ? image.height : image.width, transpose ? image.width : image.height,
                  image.channels);
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      int from_x = transpose ? y : x, from_y = transpose ? x : y;
      if (turn & 1) from_x = image.width - 1 - from_x;
      if (turn & 2) from_y = image.height - 1 - from_y;
      std::copy_n(image.at(from_x, from_y), image.channels, out.at(x, y));
    }
  }
  return out;
}

inline core::Image MapPixels(core::Image image, const std::function<double(double)>& map) {
  uint8_t table[256];
  for (int v = 0; v < 256; ++v) {
    table[v] = static_cast<uint8_t>(std::clamp(std::lround(map(v)), 0L, 255L));
  }
  for (uint8_t& value : image.pixels) value = table[value];
  return image;
}

inline core::Image Recompress(const core::Image& image, int quality) {
  return core::DecodeRgb(core::EncodeJpeg(image, quality), "memory");
}

// Cuts `share` of each side off.
inline core::Image CropBorder(const core::Image& image, double share) {
  const double dx = share * image.width, dy = share * image.height;
  return core::ResizeBox(image, {dx, dy, image.width - 2 * dx, image.height - 2 * dy},
                         static_cast<int>(image.width - 2 * dx),
                         static_cast<int>(image.height - 2 * dy));
}

struct Alteration {
  std::string name;
  std::function<core::Image(const core::Image&)> apply;
};

inline std::vector<Alteration> Alterations() {
  using core::Image;
  std::vector<Alteration> all;
  for (int turn = 1; turn < 8; ++turn) {
    all.push_back({"turned " + std::to_string(turn),
                   [turn](const Image& image) { return Turn(image, turn); }});
  }
  for (const int quality : {90, 50, 20}) {
    all.push_back({"JPEG " + std::to_string(quality),
                   [quality](const Image& image) { return Recompress(image, quality); }});
  }
  auto add = [&](const std::string& name, std::function<double(double)> map) {
    all.push_back({name, [map](const Image& image) { return MapPixels(image, map); }});
  };
  add("brighter x 1.2", [](double v) { return 1.2 * v; });
  add("darker x 0.7", [](double v) { return 0.7 * v; });
  add("contrast x 0.6", [](double v) { return 128 + 0.6 * (v - 128); });
  add("gamma 1.8", [](double v) { return 255 * std::pow(v / 255, 1.8); });
  all.push_back({"half size", [](const Image& image) {
                   return core::Resize(image, image.width / 2, image.height / 2);
                 }});
  for (const double share : {0.02, 0.045, 0.075, 0.1, 0.12}) {
    all.push_back({"border of " + std::to_string(share).substr(0, 5) + " off",
                   [share](const Image& image) { return CropBorder(image, share); }});
  }
  for (const core::StainShift& shift : core::StandardShifts()) {
    all.push_back({"stain " + shift.name,
                   [shift](const Image& image) { return core::ApplyShift(image, shift); }});
  }
  const core::StainShift strong = core::StandardShifts().back();
  all.push_back({"turned 5, re-stained, JPEG 50, darker", [strong](const Image& image) {
                   const Image stained = core::ApplyShift(Turn(image, 5), strong);
                   return MapPixels(Recompress(stained, 50), [](double v) { return 0.8 * v; });
                 }});
  return all;
}

}  // namespace eosin::tools
