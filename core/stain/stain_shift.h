// SPDX-License-Identifier: Apache-2.0
// Test sets under another stain: haematoxylin and eosin scaled and shifted in natural optical
// density, the residual left alone. For measuring what a model's features do when the laboratory
// changes, not for training.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/image/image.h"

namespace eosin::core {

struct StainShift {
  float alpha[2] = {1, 1};  // factor of H and of E
  float beta[2] = {0, 0};   // offset, natural optical density
  std::string name;         // "H*0.7-0.1 E*1.3+0.1", for tables
};

// Each of H and E takes alpha in {0.7, 1.3} and beta in {-0.1, +0.1}: every combination, 16 shifts.
std::vector<StainShift> StandardShifts();

// rgb -> a shifted copy.
Image ApplyShift(const Image& rgb, const StainShift& shift);

// A picture whose copies are to be written. to: where, without the shift's name:
// "out/sub/tile_png".
struct ShiftedPicture {
  std::filesystem::path from, to;
};

// image: a picture or a folder of pictures, whose subfolders are kept below `out`. What lies below
// `out` is left out, so that a second run makes the same copies. DataError without pictures,
// ConfigError when out is the folder itself.
std::vector<ShiftedPicture> PicturesToShift(const std::filesystem::path& image,
                                            const std::filesystem::path& out);

// "out/sub/tile_png_Hx0.7-0.1_Ex1.3+0.1.png": no letters that shells and other systems mind.
std::filesystem::path ShiftedFile(const ShiftedPicture& picture, const StainShift& shift);

}  // namespace eosin::core
