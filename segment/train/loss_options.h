// SPDX-License-Identifier: Apache-2.0
// Which losses a segmentation model learns from (losses.h) and how classes are weighed. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace eosin::segment {

struct LossOptions {
  double ce = 1.0, dice = 1.0, focal = 0.0, lovasz = 0.0;  // factors, at least one above 0
  double focal_gamma = 2.0;                                // at least 1
  bool lovasz_per_image = false;
};

// The weights of classes in cross-entropy and focal loss, by rule, n[c] the pixels of class c in
// the training images, N their sum, k the number of classes that have any:
//   none     no weights (an empty list)
//   inverse  N / (k n[c])
//   sqrt     the square root of that
//   numbers  "1, 4, 0.5": one a class, none below 0, not all 0
// A class without pixels gets 0. Throws ConfigError on another rule or another number of numbers.
std::vector<double> ClassWeights(const std::string& rule, const std::vector<int64_t>& pixels);

}  // namespace eosin::segment
