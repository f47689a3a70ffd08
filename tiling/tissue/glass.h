// SPDX-License-Identifier: Apache-2.0
// The colour of the empty glass of a slide, which the light and the stain's film make uneven.
#pragma once

#include <array>
#include <opencv2/core.hpp>

namespace eosin::tiling {

// A smooth colour over the picture: in each channel log(I + 1) is a polynomial of second degree.
struct GlassModel {
  bool found = false;                           // false: no glass was seen, and white is assumed
  std::array<std::array<float, 6>, 3> terms{};  // of 1, u, v, uu, uv, vv; u and v in -1..1
  cv::Mat sure;  // CV_8U, kGlassCell times smaller than the picture: nonzero = certainly glass

  // I + 1 of the glass.
  std::array<float, 3> At(int x, int y, const cv::Size& size) const;
};

inline constexpr int kGlassCell = 4;  // px
// What glass becomes in every channel.
inline constexpr int kWhite = 240;

// rgb: CV_8UC3; usable: CV_8U, nonzero where pixels are neither unknown nor scanner black.
// Glass is bright, nearly grey, flat, and the brightest of what is.
GlassModel FindGlass(const cv::Mat& rgb, const cv::Mat& usable);

// Each pixel scaled so that the glass at its place becomes kWhite.
cv::Mat Whiten(const cv::Mat& rgb, const GlassModel& glass);

}  // namespace eosin::tiling
