// SPDX-License-Identifier: Apache-2.0
// Test sets under another stain: haematoxylin and eosin scaled and shifted in natural optical
// density, the residual left alone. For measuring what a model's features do when the laboratory
// changes, not for training.
#pragma once

#include <string>
#include <vector>

#include "core/image/image.h"

namespace eosin::core {

struct StainShift {
  float alpha[2] = {1, 1};  // factor of H and of E
  float beta[2] = {0, 0};   // offset, natural optical density
  std::string name;         // "H*0.7 E*1.3", for tables
};

// alpha in {0.7, 1, 1.3} and beta in {-0.1, 0, 0.1}: every combination for H and E that changes
// something, alphas and betas apart: (9 - 1) + (9 - 1) = 16 shifts.
std::vector<StainShift> StandardShifts();

// rgb -> a shifted copy.
Image ApplyShift(const Image& rgb, const StainShift& shift);

}  // namespace eosin::core
