// SPDX-License-Identifier: Apache-2.0
// How much each window says about a pixel that several windows cover: whole numbers along one axis
// that sum to kAxisOne over the windows covering a pixel, at the slide's edges too. A window's
// weight at (x, y) is the product of its two axes' weights, so that the weights at every pixel sum
// to kAxisOne^2 exactly and nothing has to be divided afterwards.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "segment/predict/window_axis.h"

namespace eosin::segment {

inline constexpr uint32_t kAxisOne = 256;

// gaussian: sigma = window / 8 (as nnU-Net; Isensee et al., Nat. Methods 2021); cosine: a raised
// cosine that falls to nothing at the border. Both before they are made to sum to one.
const std::vector<std::string>& BlendNames();

class BlendWeights {
 public:
  BlendWeights(const WindowAxis& axis, const std::string& blend);
  // The weights at the pixels of window i. Not thread-safe.
  const std::vector<uint32_t>& Of(int64_t i);

 private:
  std::vector<uint32_t> Compute(int64_t i) const;

  const WindowAxis axis_;
  std::vector<double> raw_;
  std::map<int64_t, std::vector<uint32_t>> known_;  // kInner: of windows with all neighbours
};

}  // namespace eosin::segment
