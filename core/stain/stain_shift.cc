// SPDX-License-Identifier: Apache-2.0
#include "core/stain/stain_shift.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/image/picture_folder.h"
#include "core/stain/density.h"
#include "core/stain/hed.h"

namespace eosin::core {

std::vector<StainShift> StandardShifts() {
  constexpr float kAlphas[] = {0.7f, 1.3f}, kBetas[] = {-0.1f, 0.1f};
  std::vector<StainShift> shifts;
  for (const float h : kAlphas) {
    for (const float h_offset : kBetas) {
      for (const float e : kAlphas) {
        for (const float e_offset : kBetas) {
          shifts.push_back(
              {{h, e},
               {h_offset, e_offset},
               fmt::format("H*{:.1f}{:+.1f} E*{:.1f}{:+.1f}", h, h_offset, e, e_offset)});
        }
      }
    }
  }
  return shifts;
}

Image ApplyShift(const Image& rgb, const StainShift& shift) {
  if (!rgb.empty() && rgb.channels != 3) {
    throw DataError("a picture without colours has no stain to shift", "RGB pictures are needed");
  }
  const float alpha[3] = {shift.alpha[0], shift.alpha[1], 1};
  const float beta[3] = {shift.beta[0], shift.beta[1], 0};
  const StainAffine map = HedJitterAffine(HedResidualMatrix(), alpha, beta);
  // e^(x + y) = e^x * e^y: per channel of origin and level, what it gives to each channel.
  double factors[3][256][3];
  for (size_t i = 0; i < 3; ++i) {
    for (size_t level = 0; level < 256; ++level) {
      for (size_t j = 0; j < 3; ++j) {
        factors[i][level][j] = std::exp(-kDensities[level] * double{map.a[i][j]});
      }
    }
  }
  double scale[3];
  for (size_t j = 0; j < 3; ++j) scale[j] = 256 * std::exp(-double{map.b[j]});
  Image out(rgb.width, rgb.height, 3);
  for (size_t p = 0; p + 2 < rgb.pixels.size(); p += 3) {
    const uint8_t* in = rgb.pixels.data() + p;
    for (size_t j = 0; j < 3; ++j) {
      const double level =
          scale[j] * factors[0][in[0]][j] * factors[1][in[1]][j] * factors[2][in[2]][j] - 1;
      out.pixels[p + j] = static_cast<uint8_t>(std::clamp(level, 0.0, 255.0) + 0.5);
    }
  }
  return out;
}

std::vector<ShiftedPicture> PicturesToShift(const fs::path& image, const fs::path& out) {
  if (!fs::exists(image)) {
    throw DataError("no such file or folder: " + image.string(), "check the path");
  }
  // a.png and a.jpg are two pictures: the extension stays in the name.
  const auto named = [](const fs::path& to, const fs::path& picture) {
    return to / (picture.stem().string() + "_" + picture.extension().string().substr(1));
  };
  if (!fs::is_directory(image)) {
    return {{image, image.has_extension() ? named(out, image) : out / image.filename()}};
  }
  const fs::path own = fs::weakly_canonical(out).lexically_relative(fs::canonical(image));
  if (own == ".") {
    throw ConfigError("--out is the folder of the pictures: " + out.string(),
                      "give another folder, or one below it, for the copies");
  }
  const auto is_below = [](const fs::path& path, const fs::path& folder) {
    const fs::path way = path.lexically_relative(folder);
    return !way.empty() && *way.begin() != "..";
  };
  const bool inside = !own.empty() && *own.begin() != "..";
  std::vector<ShiftedPicture> pictures;
  for (const fs::path& path : ListFiles(image, PictureExtensions(), true)) {
    const fs::path way = path.lexically_relative(image);
    if (inside && is_below(way, own)) continue;  // an earlier run's copies
    pictures.push_back({path, named(out / way.parent_path(), path)});
  }
  if (pictures.empty()) throw DataError("no pictures in " + image.string(), ".png or .jpg files");
  return pictures;
}

fs::path ShiftedFile(const ShiftedPicture& picture, const StainShift& shift) {
  std::string word = shift.name;
  std::replace(word.begin(), word.end(), '*', 'x');
  std::replace(word.begin(), word.end(), ' ', '_');
  return picture.to.string() + "_" + word + ".png";
}

}  // namespace eosin::core
